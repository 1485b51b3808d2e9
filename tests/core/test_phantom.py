from itertools import pairwise

import numpy as np
import pytest

from nilatron.core.phantom import coil_maps, phantom, positions, smooth_phase


def relative_error(estimate, truth):
    return np.linalg.norm(estimate - truth) / np.linalg.norm(truth)


@pytest.mark.parametrize("shape", [(1, 96, 80), (1, 65, 97)])
def test_pixels_hold_averages_of_a_finer_drawing(shape):
    _, n_y, n_x = shape
    # pixel k of the coarse grid is pixels 3k, 3k + 1, 3k + 2 of the finer one, whose centre is n // 2 of its own grid
    shift = [2 / n * (-1 / 3 if n % 2 == 0 else 0) for n in (n_y, n_x)]
    coarse = np.abs(phantom(shape, (0.02, 1, 1)))
    fine = np.abs(phantom((1, 3 * n_y, 3 * n_x), (0.02, 1, 1), (0, *shift)))
    averaged = fine.reshape(1, n_y, 3, n_x, 3).mean(axis=(2, 4))
    assert relative_error(coarse, averaged) < 0.04
    point_sampled = fine[:, 1::3, 1::3]
    assert relative_error(coarse, averaged) < 0.5 * relative_error(point_sampled, averaged)


def test_larger_field_of_view_holds_the_same_pixels():
    small = phantom((1, 64, 64), (0.02, 1.1, 1.1))
    large = phantom((1, 96, 128), (0.02, 1.65, 2.2))
    np.testing.assert_allclose(large[:, 16:80, 32:96], small, atol=2e-6)
    assert not large[:, :16].any()
    assert not large[:, :, :32].any()


def test_planes_of_a_volume_are_slices():
    volume = phantom((16, 40, 40), (1.2, 1.2, 1.2))
    for plane, z in enumerate(positions(16, 1.2)):
        one = phantom((1, 40, 40), (1.2 / 16, 1.2, 1.2), (float(z), 0, 0))[0]
        np.testing.assert_allclose(volume[plane], one, atol=1e-5)


def test_slices_differ_and_air_is_empty():
    slices = [np.abs(phantom((1, 64, 64), (0.05, 1, 1), (z, 0, 0))) for z in (-0.5, -0.2, 0.0, 0.2, 0.5)]
    for first, second in pairwise(slices):
        assert relative_error(first, second) > 0.1
    for image in slices:
        assert not image[0, 0].any()
        assert 0.9 < image.max() < 1.15
        assert 0.2 < np.mean(image > 0.1) < 0.8


def test_phase_is_smooth_and_not_constant():
    phase = smooth_phase(positions(3), positions(64), positions(64))
    steps = np.angle(phase[:, 1:] * phase[:, :-1].conj())
    np.testing.assert_allclose(np.abs(phase), 1, atol=1e-6)
    assert np.abs(steps).max() < 0.15
    assert np.std(np.angle(phase)) > 0.3


@pytest.mark.parametrize("n_coils", [1, 2, 8, 13, 32])
def test_coil_maps_are_normalised_smooth_and_differ(n_coils):
    maps = coil_maps(n_coils, (1, 64, 48), (0.05, 1.1, 2.2))
    assert maps.shape == (n_coils, 1, 64, 48)
    assert maps.dtype == np.complex64
    np.testing.assert_allclose(np.sum(np.abs(maps) ** 2, axis=0), 1, atol=1e-5)
    inside = maps[..., 12:36]
    assert np.abs(np.diff(inside, axis=-2)).max() < 0.1
    assert np.abs(np.diff(inside, axis=-1)).max() < 0.15
    flat = inside.reshape(n_coils, -1)
    gram = np.abs(flat @ flat.conj().T) / np.linalg.norm(flat, axis=1) / np.linalg.norm(flat, axis=1)[:, None]
    assert (gram - np.eye(n_coils)).max() < 0.999


def test_coils_of_several_rings_encode_z():
    maps = np.abs(coil_maps(16, (32, 8, 8), (1, 1, 1)))
    profiles = maps.mean(axis=(2, 3))
    lower, upper = profiles[:, :16].sum(axis=1), profiles[:, 16:].sum(axis=1)
    assert (lower > 1.02 * upper).sum() == 8
    assert (upper > 1.02 * lower).sum() == 8


def test_no_coils_is_an_error():
    with pytest.raises(ValueError, match="n_coils = 0"):
        coil_maps(0, (1, 8, 8))
