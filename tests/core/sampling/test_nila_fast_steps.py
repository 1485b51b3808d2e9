"""Single steps of the sampler against closed forms: the measurement is diagonal in k-space, or there is none."""

import numpy as np
import pytest

from nilatron.core.backend import complex_normal
from nilatron.core.fft import fft
from nilatron.core.prior.prior import Estimate
from nilatron.core.sampling.nila_fast import SolverSettings, nila_fast
from nilatron.core.sense import SenseOperator


def one_coil(counts):
    """Measurement by a coil that sees all alike: A^H A multiplies k-space by `counts`."""
    counts = np.asarray(counts, float)
    return SenseOperator(np.ones((1, *counts.shape), complex), counts)


def unmeasured(shape):
    """Measurement and data of a scan without samples: (P) has the solution D."""
    operator = one_coil(np.zeros(shape))
    return operator, np.zeros((1, *shape), complex)


def test_a_step_of_samples_draws_the_gaussian_of_prior_and_data():
    """x_1 ~ CN(mean, (A^H A / sigma^2 + 1 / s_0^2)^-1 + s_1^2), diagonal in k-space where there is one coil."""
    n_draws, scale, sigma, (first, second) = 4000, 3.0, 1.5, (0.5, 0.3)
    rng, shape = np.random.default_rng(0), (1, 4, 6)
    counts = np.resize([0.0, 1.0, 4.0], shape)
    operator, prior_mean, seen = one_coil(counts), complex_normal(rng, shape, np.zeros(1, complex)), []
    data = operator.weights * scale * complex_normal(rng, (1, *shape), prior_mean)

    def denoiser(x, _level):
        seen.append(x)
        return Estimate(np.broadcast_to(prior_mean, x.shape))

    nila_fast(
        denoiser,
        operator,
        data,
        (first, second),
        start=np.zeros((n_draws, *shape), complex),
        sigma=sigma,
        scale=scale,
        tau=1.0,
        generator=rng,
        solver=SolverSettings(tolerance=1e-10),
    )
    drawn = fft(seen[1]).reshape(n_draws, -1)
    precision = counts.ravel() * (scale / sigma) ** 2 + 1 / first**2
    mean = (np.sqrt(counts) * data[0] * scale / sigma**2 + fft(prior_mean) / first**2).ravel() / precision
    variance = 1 / precision + second**2
    assert (np.abs(drawn.mean(axis=0) - mean) < 5 * np.sqrt(variance / n_draws)).all()
    found = (drawn - mean).T @ (drawn - mean).conj() / n_draws
    standard_error = np.sqrt(np.outer(variance, variance) / n_draws)  # of each element of a covariance
    assert (np.abs(found - np.diag(variance)) < 5 * standard_error).all()


@pytest.mark.parametrize("tau", [0.0, 1.0])
@pytest.mark.parametrize(("noisy_start", "shares"), [(True, (1.0, 0.8, 0.8)), (False, (0.8, 0.8, 0.8))])
def test_the_network_is_told_the_noise_of_the_start_and_afterwards_a_share_of_the_level(tau, noisy_start, shares):
    schedule, told = (0.5, 0.2, 0.1), []
    nila_fast(
        lambda x, level: told.append(level) or Estimate(x),
        *unmeasured((1, 4, 4)),
        schedule,
        start=np.zeros((1, 1, 4, 4), complex),
        sigma=1.0,
        scale=1.0,
        tau=tau,
        generator=np.random.default_rng(0),
        sigma_fraction=0.8,
        noisy_start=noisy_start,
    )
    np.testing.assert_allclose(told, np.multiply(shares, schedule))


@pytest.mark.parametrize("noisy_start", [True, False])
def test_momentum_carries_on_changes_but_not_the_noise_of_the_start(noisy_start):
    rng, shape, scale, momentum = np.random.default_rng(0), (1, 4, 4), 3.0, 0.4
    start, *estimates = (complex_normal(rng, (1, *shape), np.zeros(1, complex)) for _ in range(4))
    given, seen = iter(estimates), []
    result = nila_fast(
        lambda x, _level: seen.append(x) or Estimate(next(given)),
        *unmeasured(shape),
        (0.5, 0.2, 0.1),
        start=scale * start,
        sigma=1.0,
        scale=scale,
        tau=0.0,
        generator=rng,
        noisy_start=noisy_start,
        momentum=momentum,
    )
    before = estimates[0] if noisy_start else start
    np.testing.assert_allclose(seen[1], estimates[0] + momentum * (estimates[0] - before))
    np.testing.assert_allclose(seen[2], estimates[1] + momentum * (estimates[1] - estimates[0]))
    np.testing.assert_allclose(result.image, scale * estimates[2])


@pytest.mark.parametrize("level", [0.1, 0.5, 2.0])
@pytest.mark.parametrize(("share", "n_iterations"), [(0.99, 2), (1.01, 1)])
def test_a_step_ends_when_an_iteration_changes_less_than_a_share_of_the_level(level, share, n_iterations):
    """From D = 0 the first iteration goes r (r, r) / (r, (1 + w A^H A) r) with r = w A^H y; the second one solves (P)."""
    rng, sigma, scale = np.random.default_rng(0), 0.9, 3.0
    operator = one_coil(np.resize([1.0, 4.0], (1, 4, 8)))
    back_projected = np.exp(2j * np.pi * rng.random((1, 4, 8)))  # k-space of A^H y / scale, rms 1
    weight = (level * scale / sigma) ** 2
    change = weight / (1 + 2.5 * weight)
    result = nila_fast(
        lambda x, _level: Estimate(0 * x),
        operator,
        scale * back_projected[None] / operator.weights,
        (level,),
        start=np.zeros((1, 1, 4, 8), complex),
        sigma=sigma,
        scale=scale,
        tau=0.0,
        generator=rng,
        solver=SolverSettings(tolerance=1e-6, min_change=share * change / level),
    )
    assert result.n_iterations == (n_iterations,)
