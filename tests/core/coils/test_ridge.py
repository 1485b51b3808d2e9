import numpy as np
import pytest

from nilatron.core.backend import complex_normal, to_numpy, to_torch
from nilatron.core.coils.ridge import RidgeFit

N_COILS, N_SAMPLES, N_UNKNOWNS = 5, 60, 12


def model(size, noise=1.0, seed=0):
    """B and h (unknown, coil) of standard deviation `size`, and r = B h + e."""
    rng = np.random.default_rng(seed)
    like = np.zeros(1, np.complex64)
    design = complex_normal(rng, (N_SAMPLES, N_UNKNOWNS), like)
    unknowns = size * complex_normal(rng, (N_UNKNOWNS, N_COILS), like)
    residual = (design @ unknowns).T + noise * complex_normal(rng, (N_COILS, N_SAMPLES), like)
    return design, unknowns, residual


def log_evidence(design, residual, size, noise):
    """Of independent coils, each CN(0, v I + t^2 B B^H)."""
    covariance = noise * np.eye(N_SAMPLES) + size**2 * design @ design.conj().T
    energy = np.sum(residual.conj() * np.linalg.solve(covariance, residual.T).T).real
    return -N_COILS * np.linalg.slogdet(covariance)[1] - energy


def test_the_gain_is_that_of_the_evidence():
    design, _, residual = model(0.5)
    fit = RidgeFit.of(design, residual)
    ratio, gain = fit.likeliest([0.5])
    whitened = np.linalg.solve(np.eye(N_SAMPLES) + ratio * design @ design.conj().T, residual.T).T
    noise = float(np.sum(residual.conj() * whitened).real) / residual.size  # the likeliest with this ratio
    none = float(np.sum(np.abs(residual) ** 2)) / residual.size
    size = np.sqrt(ratio * noise)
    expected = log_evidence(design, residual, size, noise) - log_evidence(design, residual, 0.0, none)
    assert gain == pytest.approx(expected, rel=1e-4)
    assert (noise, size) == pytest.approx((1.0, 0.5), rel=0.15)


def test_the_size_that_was_drawn_is_the_likeliest():
    design, _, residual = model(0.5)
    fit = RidgeFit.of(design, residual)
    sizes = [4.0, 2.0, 1.0, 0.5, 0.25, 0.125]
    gains = [fit.likeliest([size])[1] for size in sizes]
    assert sizes[int(np.argmax(gains))] == 0.5
    assert fit.likeliest(sizes) == fit.likeliest([0.5])


@pytest.mark.parametrize("seed", range(5))
def test_noise_alone_asks_for_hardly_anything(seed):
    design, _, residual = model(0.0, seed=seed)
    ratio, gain = RidgeFit.of(design, residual).likeliest([1.0, 0.5, 0.25])
    assert gain < 1
    assert ratio == 0


def test_without_noise_the_unknowns_are_found_by_numpy_and_torch():
    design, unknowns, residual = model(0.5, noise=1e-4)
    for convert in (np.asarray, to_torch):
        fit = RidgeFit.of(convert(design), convert(residual))
        found = to_numpy(fit.solution(fit.likeliest([1.0, 0.5])[0]))
        np.testing.assert_allclose(found, unknowns, atol=1e-3)
