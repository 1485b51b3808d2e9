from dataclasses import replace

import numpy as np
import pytest

from nilatron.gadgets.known_noise import NoiseCovariance, NoiseOrigin


def noise(n_coils=4, n_samples=100, names="ABCD"):
    covariance = np.arange(n_coils**2).reshape(n_coils, n_coils) + 0j
    return NoiseCovariance(covariance, n_samples, 5.0, NoiseOrigin("noise scan"), tuple(names))


def test_channels_are_chosen_on_both_sides_and_keep_their_names():
    found = noise().with_channels([3, 0])
    np.testing.assert_array_equal(found.covariance, [[15, 12], [3, 0]])
    assert found.coil_names == ("D", "A")
    assert found.n_coils == 2
    assert (found.n_samples, found.dwell_us, found.origin) == (100, 5.0, NoiseOrigin("noise scan"))


@pytest.mark.parametrize(("n_samples", "usable"), [(0, False), (31, False), (32, True)])
def test_noise_is_usable_from_eight_samples_a_coil_on(n_samples, usable):
    assert (noise(n_samples=n_samples).fault == "") is usable


def test_silence_is_not_usable():
    silent = NoiseCovariance(np.zeros((2, 2), complex), 100, 5.0, NoiseOrigin("noise scan"))
    assert "is empty" in silent.fault


@pytest.mark.parametrize(("kurtosis", "n_samples", "usable"), [(2.0, 100, True), (5.0, 100, False), (5.0, 32, True)])
def test_samples_that_are_no_gaussian_noise_are_not_usable(kurtosis, n_samples, usable):
    assert (replace(noise(n_samples=n_samples), kurtosis=kurtosis).fault == "") is usable
