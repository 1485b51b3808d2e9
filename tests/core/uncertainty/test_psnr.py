import numpy as np
import pytest

from nilatron.core.metrics import psnr
from nilatron.core.uncertainty.psnr import predicted_psnr_db


def test_right_deviations_predict_the_psnr():
    rng = np.random.default_rng(0)
    truth = rng.uniform(0.5, 1, (1, 64, 64))
    truth[0, 0, 0] = 2  # a peak that its own error hardly moves
    deviation = rng.uniform(0.01, 0.05, truth.shape)
    image = truth + deviation * rng.standard_normal(truth.shape)
    assert predicted_psnr_db(image, deviation, 1.0) == pytest.approx(psnr(image, truth), abs=0.3)


def test_half_the_deviation_is_6_db():
    image = np.ones((1, 4, 4))
    gain = predicted_psnr_db(image, 0.05 * image, 1.0) - predicted_psnr_db(image, 0.1 * image, 1.0)
    assert gain == pytest.approx(20 * np.log10(2))


def test_air_does_not_count():
    image = np.array([[1.0, 0.01]])
    assert predicted_psnr_db(image, np.array([[0.1, 5.0]]), 1.0) == pytest.approx(20)
    assert predicted_psnr_db(0 * image, image, 1.0) == 0
