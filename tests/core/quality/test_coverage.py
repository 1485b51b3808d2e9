import numpy as np
import pytest

from nilatron.core.backend import complex_normal, to_torch
from nilatron.core.fft import fft
from nilatron.core.kspace import centre_block
from nilatron.core.phantom import coil_maps, phantom
from nilatron.core.quality.coverage import nearest, unexplained_share

SHAPE = (1, 72, 64)
MAPS = coil_maps(5, SHAPE)


def block(level=100.0, seed=0):
    kspace = fft(MAPS * (level * phantom(SHAPE)).astype(np.complex64))
    return centre_block(kspace + complex_normal(np.random.default_rng(seed), kspace.shape, kspace), 24)


def test_true_maps_explain_the_calibration():
    assert unexplained_share(block(), MAPS) < 0.02


def test_maps_of_nothing_explain_nothing():
    assert unexplained_share(block(), 0 * MAPS) == 1


def test_maps_that_are_zero_on_half_of_the_object_leave_its_energy():
    half = MAPS * (np.arange(64) < 32)
    energy = np.abs(phantom(SHAPE)) ** 2
    expected = energy[..., 32:].sum() / energy.sum()
    assert unexplained_share(block(), half) == pytest.approx(expected, abs=0.05)


def test_maps_of_random_coils_leave_all_but_one_part_in_the_number_of_coils():
    rng = np.random.default_rng(3)
    random = complex_normal(rng, MAPS.shape, MAPS)
    random /= np.linalg.norm(random, axis=0)
    assert unexplained_share(block(), random) == pytest.approx(1 - 1 / 5, abs=0.1)


def test_where_only_noise_is_nothing_has_to_be_explained():
    noise = complex_normal(np.random.default_rng(1), (5, 1, 24, 24), MAPS)
    assert unexplained_share(noise, 0 * MAPS) == 0


def test_torch_gives_the_figure_of_numpy():
    half = MAPS * (np.arange(64) < 32)
    found = unexplained_share(to_torch(block()), to_torch(half))
    assert found == pytest.approx(unexplained_share(block(), half), rel=1e-4)


@pytest.mark.parametrize(("n", "m"), [(72, 24), (64, 63), (24, 72), (5, 1)])
def test_nearest_pixels_keep_the_centre(n, m):
    values = np.arange(n, dtype=np.float32)[None, :, None] - n // 2
    found = nearest(values, (1, m, 1))[0, :, 0]
    assert found[m // 2] == 0
    assert np.abs(found - (np.arange(m) - m // 2) * n / m).max() <= 1
