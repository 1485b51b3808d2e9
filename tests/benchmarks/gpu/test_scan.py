"""The simulated slice."""

import numpy as np
import pytest

from gpu.scan import NOISE, raw_slice
from nilatron.core.backend import percentile
from nilatron.core.noise import noise_covariance, sigma_from_data, whiten, whitening_matrix


@pytest.fixture(scope="module")
def raw(small):
    return raw_slice(small)


def test_its_noise_scan_whitens_it(raw, small):
    matrix = whitening_matrix(noise_covariance(raw.noise))
    assert sigma_from_data(whiten(matrix, raw.kspace), raw.counts) == pytest.approx(1, rel=0.1)
    assert raw.noise.shape == (small.n_coils, 4096)
    assert noise_covariance(raw.noise)[0, 1] != pytest.approx(0, abs=1e-4)  # coloured


def test_the_noise_is_a_share_of_the_image_scale(raw):
    level = np.sqrt(np.trace(noise_covariance(raw.noise)).real / len(raw.noise))
    assert level == pytest.approx(NOISE * percentile(np.abs(raw.truth), 99.5), rel=0.05)


def test_unmeasured_samples_are_zero_and_the_centre_is_whole(raw, small):
    assert not np.any(raw.kspace * (raw.counts == 0))
    assert raw.calibration.shape == (small.n_coils, 1, 24, small.matrix)
    np.testing.assert_array_equal(raw.calibration, raw.kspace[:, :, 20:44])


def test_the_same_seed_is_the_same_slice(raw, small):
    np.testing.assert_array_equal(raw_slice(small).kspace, raw.kspace)
    assert not np.array_equal(raw_slice(small, seed=1).kspace, raw.kspace)
