"""A stationary Gaussian prior on a small grid, a scan of an image drawn from it, and its exact posterior."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nilatron.core.backend import ComplexArray, complex_normal
from nilatron.core.baselines.cg_sense import cg_sense
from nilatron.core.fft import fft, ifft
from nilatron.core.phantom import coil_maps
from nilatron.core.prior.prior import Estimate
from nilatron.core.sense import SenseOperator

SHAPE = (1, 16, 16)
N_COILS = 4
MEAN, DEVIATION, CORRELATION = 0.6, 0.2, 1.5  # of the prior, image scale 1; the last in pixels


@dataclass(frozen=True)
class GaussianPrior:
    """CN(mean, F^H diag(spectrum) F), whose denoiser is a Wiener filter."""

    mean: ComplexArray
    spectrum: npt.NDArray[np.float32]

    def estimate(self, x: ComplexArray, sigma: float) -> Estimate:
        """E[x0 | x0 + sigma n = x]."""
        kept = self.spectrum / (self.spectrum + np.float32(sigma**2))
        return Estimate(np.asarray(self.mean + ifft(kept * fft(x - self.mean)), np.complex64))


@dataclass(frozen=True)
class AnalyticCase:
    """A scan of image scale 1 with noise `sigma`, and what is known about it.

    Attributes
    ----------
    truth, mean, variance
        Images (z, y, x): what was measured, and mean and complex variance of the exact posterior.
    """

    prior: GaussianPrior
    operator: SenseOperator
    data: ComplexArray
    sigma: float
    conventional: ComplexArray
    truth: ComplexArray
    mean: ComplexArray
    variance: npt.NDArray[np.floating]


def gaussian_prior() -> GaussianPrior:
    """Smooth images about a constant."""
    _, ky, kx = np.meshgrid(*((np.arange(n) - n // 2) / n for n in SHAPE), indexing="ij")
    spectrum = np.exp(-2 * (np.pi * CORRELATION) ** 2 * (ky**2 + kx**2)) + 1e-3
    spectrum *= DEVIATION**2 / spectrum.mean()
    return GaussianPrior(np.full(SHAPE, MEAN, np.complex64), spectrum.astype(np.float32))


def analytic_case(sigma: float, seed: int) -> AnalyticCase:
    """Every third line and two in the centre, of an image that is drawn from the prior."""
    prior, generator = gaussian_prior(), np.random.default_rng(seed)
    counts = np.zeros(SHAPE, np.float32)
    counts[:, ::3] = counts[:, 7:9] = 1
    operator = SenseOperator(coil_maps(N_COILS, SHAPE), counts)
    noise = complex_normal(generator, SHAPE, prior.mean)
    truth = prior.mean + ifft(np.sqrt(prior.spectrum) * noise)
    data = operator.forward(truth)
    data = data + np.float32(sigma) * operator.weights * complex_normal(generator, data.shape, data)
    n = int(np.prod(SHAPE))
    units = np.eye(n, dtype=np.complex64).reshape(n, *SHAPE)
    covariance = ifft(prior.spectrum * fft(units)).reshape(n, n).T.astype(np.complex128)
    information = operator.normal(units).reshape(n, n).T / sigma**2 + np.linalg.inv(covariance)
    posterior = np.linalg.inv(information)
    seen = operator.adjoint(data - operator.forward(prior.mean)).reshape(n) / sigma**2
    mean = prior.mean + (posterior @ seen).reshape(SHAPE)
    variance = np.real(np.diagonal(posterior)).reshape(SHAPE)
    conventional = cg_sense(operator, data, sigma=sigma)
    return AnalyticCase(prior, operator, data, sigma, conventional, truth, mean, variance)
