import numpy as np
import pytest

from nilatron.core.epi.regrid import regridding, widest_gap
from nilatron.core.epi.trapezoid import Trapezoid, sample_positions
from nilatron.core.fft import fft
from nilatron.core.oversampling import remove_oversampling

LOBE = Trapezoid(60, 200, 60)


def profile(n, seed=0):
    """Complex objects (2, n) on a field of view of n pixels."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((2, n)) + 1j * rng.standard_normal((2, n))


def sampled(objects, k, n_columns):
    """Their k-space at `k`, orthonormal on a grid of `n_columns`; pixels beyond it lie outside its field of view."""
    x = np.arange(objects.shape[1]) - objects.shape[1] // 2
    return objects @ np.exp(-2j * np.pi * np.outer(x, k) / n_columns) / np.sqrt(n_columns)


def error(found, expected):
    scale = np.vdot(found, expected) / np.vdot(found, found)
    return np.linalg.norm(scale * found - expected) / np.linalg.norm(expected)


def test_equidistant_samples_on_the_grid_stay_but_for_the_ridge():
    k = np.arange(32) - 16.0
    found = regridding(k, 32, 32).apply(profile(32).astype(np.complex64))
    np.testing.assert_allclose(found * 1.01, profile(32), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("lobe", [LOBE, Trapezoid(40, 200, 80), Trapezoid(60, 90, 100)])
@pytest.mark.parametrize("direction", [1, -1])
def test_an_object_in_the_middle_half_is_found_from_samples_on_ramps(lobe, direction):
    n = 64
    k = direction * sample_positions(lobe, 0.0, lobe.duration_us / n, n, n)
    inside = profile(n // 2)
    operator = regridding(k, n, n // 2)
    found = remove_oversampling(operator.apply(sampled(inside, k, n).astype(np.complex64)), n // 2)
    as_it_came = remove_oversampling(sampled(inside, k, n)[:, ::direction], n // 2)
    expected = fft(inside, axes=(-1,))
    assert error(found[:, 1:-1], expected[:, 1:-1]) < 0.02
    assert error(as_it_came, expected) > 0.3


def test_what_lies_outside_the_encoded_field_of_view_is_removed_where_samples_are_dense():
    n, n_samples = 32, 128
    k = sample_positions(LOBE, 0.0, 320 / n_samples, n_samples, n)
    x = np.arange(60) - 30
    inside, outside = (np.exp(-(((x - at) / 2.5) ** 2))[None] + 0j for at in (4, 24))
    operator = regridding(k, n, n)
    found = operator.apply(sampled(inside + outside, k, n).astype(np.complex64))
    alone = sampled(inside, np.arange(n) - n // 2, n)
    assert error(found, alone) < 0.02
    assert error(sampled(inside + outside, np.arange(n) - n // 2, n), alone) > 0.3


def test_noise_variance_is_that_of_regridded_noise():
    n, n_kept, rng = 64, 32, np.random.default_rng(1)
    k = sample_positions(LOBE, 0.0, 320 / n, n, n)
    operator = regridding(k, n, n_kept)
    noise = (rng.standard_normal((2000, n)) + 1j * rng.standard_normal((2000, n))).astype(np.complex64) / 2**0.5
    kept = remove_oversampling(operator.apply(noise), n_kept)
    assert np.mean(np.abs(kept) ** 2) == pytest.approx(operator.noise_variance(n_kept), rel=0.02)
    assert 1.0 < operator.noise_variance(n_kept) < 1.3  # the square of the samples' distance, on the average


def test_columns_without_samples_are_told_and_zero():
    k = sample_positions(LOBE, 0.0, 320 / 64, 64, 64)
    operator = regridding(k, 64, 32, (20, 64))
    assert operator.pre == np.sum(np.arange(-32, 32) < k[20] - 1)
    assert operator.post == 0
    assert not operator.matrix[: operator.pre].any()
    assert not operator.matrix[:, :20].any()
    mirrored = regridding(-k, 64, 32, (20, 64))
    assert (mirrored.pre, mirrored.post) == (0, pytest.approx(operator.pre, abs=1))


def test_the_widest_gap_is_that_of_the_flat_top():
    k = sample_positions(LOBE, 0.0, 320 / 64, 64, 64)
    assert widest_gap(k) == pytest.approx(320 / 260, rel=1e-9)
    assert widest_gap(-k) == widest_gap(k)
