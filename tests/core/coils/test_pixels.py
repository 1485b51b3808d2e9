import numpy as np
import pytest

from nilatron.core.coils.pixels import lag_numbers, pixel_eigenvectors

POWER = {"crop": 0.5, "n_iterations": 40}


def lags_of(v, shift=0):
    """R of one vector v at every pixel, its coil 1 turned by exp(2 pi i shift x / n)."""
    lags = np.zeros((2, 2, 1, 1, 3), np.complex64)
    lags[0, 0, ..., 0], lags[1, 1, ..., 0] = abs(v[0]) ** 2, abs(v[1]) ** 2
    lags[1, 0, ..., shift], lags[0, 1, ..., -shift] = v[1] * np.conj(v[0]), v[0] * np.conj(v[1])
    return lags


def test_lags_are_in_the_order_of_the_transform():
    assert lag_numbers(5, np.zeros(1, np.float32)).tolist() == [0, 1, 2, -2, -1]
    assert lag_numbers(1, np.zeros(1, np.float32)).tolist() == [0]


def test_a_lag_is_a_phase_along_its_axis():
    v = np.array([0.6, 0.8])
    found = pixel_eigenvectors(lags_of(v, 1), (1, 3, 8), 1, slab_bytes=1 << 20, **POWER)
    phase = np.exp(2j * np.pi * (np.arange(8) - 4) / 8)
    assert found.shape == (1, 2, 1, 3, 8)
    np.testing.assert_allclose(found[0, 0], np.full((1, 3, 8), 0.6), atol=1e-5)
    np.testing.assert_allclose(found[0, 1], np.broadcast_to(0.8 * phase, (1, 3, 8)), atol=1e-5)


@pytest.mark.parametrize(("scale", "is_inside"), [(1.0, True), (0.51, True), (0.49, False)])
def test_pixels_of_small_eigenvalues_are_0(scale, is_inside):
    found = pixel_eigenvectors(scale * lags_of(np.array([0.6, 0.8])), (1, 2, 4), 1, slab_bytes=1 << 20, **POWER)
    np.testing.assert_allclose(np.linalg.norm(found[0], axis=0), float(is_inside), atol=1e-5)


def test_sets_are_orthogonal_and_slabs_change_nothing():
    rng = np.random.default_rng(0)
    lags = np.zeros((3, 3, 1, 3, 3), np.complex64)
    factor = rng.standard_normal((3, 3)) + 1j * rng.standard_normal((3, 3))
    lags[..., 0, 0, 0] = factor @ factor.conj().T
    whole = pixel_eigenvectors(lags, (2, 5, 4), 2, slab_bytes=1 << 20, **POWER)
    np.testing.assert_allclose(np.sum(whole[0].conj() * whole[1], axis=0), 0, atol=1e-5)
    np.testing.assert_array_equal(pixel_eigenvectors(lags, (2, 5, 4), 2, slab_bytes=1, **POWER), whole)
