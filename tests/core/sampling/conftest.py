"""An analytic prior whose denoiser and posterior are known: a mixture of complex Gaussians on a small grid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pytest

from nilatron.core.prior.prior import Estimate
from nilatron.core.sense import SenseOperator

MakeProblem: TypeAlias = "Callable[..., Problem]"
SHAPE = (1, 12, 12)
N_PIXELS = 144
N_COILS = 4


@dataclass
class MixturePrior:
    """Equal-weight mixture of CN(mean_k, C_k) over flattened images."""

    means: np.ndarray  # (k, n)
    covariances: np.ndarray  # (k, n, n)

    def __post_init__(self) -> None:
        self.values, self.vectors = np.linalg.eigh(self.covariances)

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        images = []
        for _ in range(n):
            k = int(rng.integers(len(self.means)))
            z = complex_noise((N_PIXELS,), rng)
            images.append(self.means[k] + self.vectors[k] @ (np.sqrt(self.values[k]) * z))
        return np.stack(images).reshape(n, *SHAPE)

    def denoise(self, x: np.ndarray, sigma: float) -> np.ndarray:
        flat = x.reshape(-1, N_PIXELS).astype(np.complex128)
        logs, means = [], []
        for mean, values, vectors in zip(self.means, self.values, self.vectors, strict=True):
            rotated = (flat - mean) @ vectors.conj()
            total = values + sigma**2
            logs.append(-np.sum(np.abs(rotated) ** 2 / total, axis=1) - np.sum(np.log(total)))
            means.append(mean + (rotated * (values / total)) @ vectors.T)
        weights = softmax(np.stack(logs))
        out = np.einsum("kb,kbn->bn", weights, np.stack(means))
        return out.reshape(x.shape).astype(x.dtype)

    def estimate(self, x: np.ndarray, sigma: float) -> Estimate:
        return Estimate(self.denoise(x, sigma))

    def posterior(self, matrix: np.ndarray, y: np.ndarray, sigma: float) -> tuple[np.ndarray, np.ndarray]:
        """Exact mean (n,) and pixelwise variance (n,) of p(x | y)."""
        logs, means, variances = [], [], []
        for mean, covariance in zip(self.means, self.covariances, strict=True):
            evidence = matrix @ covariance @ matrix.conj().T + sigma**2 * np.eye(len(matrix))
            gain = np.linalg.solve(evidence, matrix @ covariance).conj().T
            residual = y - matrix @ mean
            _, log_det = np.linalg.slogdet(evidence)
            logs.append(-np.real(residual.conj() @ np.linalg.solve(evidence, residual)) - log_det)
            means.append(mean + gain @ residual)
            variances.append(np.real(np.diagonal(covariance - gain @ matrix @ covariance)))
        weights = softmax(np.array(logs)[:, None])[:, 0]
        centre = np.einsum("k,kn->n", weights, np.stack(means))
        spread = [v + np.abs(m - centre) ** 2 for v, m in zip(variances, means, strict=True)]
        return centre, np.einsum("k,kn->n", weights, np.stack(spread))


@dataclass
class Problem:
    """One measured image and what the posterior says about it."""

    prior: MixturePrior
    operator: SenseOperator
    data: np.ndarray
    truth: np.ndarray
    sigma: float
    mean: np.ndarray
    variance: np.ndarray


def complex_noise(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)) / np.sqrt(2)


def softmax(logs: np.ndarray) -> np.ndarray:
    shifted = np.exp(logs - logs.max(axis=0))
    return shifted / shifted.sum(axis=0)


def smooth_covariance(length: float, variance: float, profile: np.ndarray) -> np.ndarray:
    y, x = (axis.ravel() for axis in np.mgrid[:12, :12])
    distance = (y[:, None] - y[None, :]) ** 2 + (x[:, None] - x[None, :]) ** 2
    root = np.sqrt(profile.ravel())
    return variance * root[:, None] * np.exp(-distance / (2 * length**2)) * root[None, :] + 1e-4 * np.eye(N_PIXELS)


@pytest.fixture(scope="session")
def mixture() -> MixturePrior:
    rng = np.random.default_rng(7)
    y, x = np.mgrid[-1:1:12j, -1:1:12j]
    profiles = [np.exp(-(((y - a) ** 2 + (x - b) ** 2) / 0.8)) for a, b in ((0.0, 0.0), (0.4, -0.3), (-0.3, 0.4))]
    means = np.stack([0.4 * p.ravel() * np.exp(2j * np.pi * rng.random()) for p in profiles])
    covariances = [smooth_covariance(length, 0.03, p) for length, p in zip((1.2, 1.8, 2.6), profiles, strict=True)]
    return MixturePrior(means, np.stack(covariances).astype(np.complex128))


@pytest.fixture(scope="session")
def gaussian(mixture: MixturePrior) -> MixturePrior:
    """A single Gaussian, whose posterior is Gaussian, too."""
    return MixturePrior(mixture.means[:1], mixture.covariances[:1])


def measured(prior: MixturePrior, sigma: float, seed: int) -> Problem:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-1:1:12j, -1:1:12j]
    centres = ((-0.8, -0.8), (-0.8, 0.8), (0.8, -0.8), (0.8, 0.8))
    maps = np.stack([np.exp(-((y - a) ** 2 + (x - b) ** 2) / 2.5 + 1j * (a * x + b * y)) for a, b in centres])
    maps = (maps / np.sqrt((np.abs(maps) ** 2).sum(0)))[:, None]
    counts = np.zeros(SHAPE)
    counts[:, ::3] = 1
    counts[:, 5:7] = 1
    operator = SenseOperator(maps, counts)
    truth = prior.draw(1, rng)[0]
    clean = operator.forward(truth)
    data = clean + sigma * operator.weights * complex_noise(clean.shape, rng)
    columns = [operator.forward(e.reshape(SHAPE)).ravel() for e in np.eye(N_PIXELS, dtype=complex)]
    rows = np.broadcast_to(operator.weights > 0, data.shape).ravel()
    matrix = np.stack(columns, axis=1)[rows]
    mean, variance = prior.posterior(matrix, data.ravel()[rows], sigma)
    return Problem(prior, operator, data, truth, sigma, mean.reshape(SHAPE), variance.reshape(SHAPE))


@pytest.fixture(scope="session")
def make_problem(mixture: MixturePrior) -> MakeProblem:
    """Measurements of draws from the mixture, by noise and seed."""
    return lambda sigma, seed=0: measured(mixture, sigma, seed)


@pytest.fixture(scope="session")
def make_gaussian_problem(gaussian: MixturePrior) -> MakeProblem:
    """Measurements of draws from the single Gaussian."""
    return lambda sigma, seed=0: measured(gaussian, sigma, seed)
