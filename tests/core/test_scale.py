import numpy as np
import pytest

from nilatron.core.backend import complex_normal
from nilatron.core.baselines.cg_sense import cg_sense
from nilatron.core.measurement import chi_squared
from nilatron.core.phantom import coil_maps, phantom
from nilatron.core.scale import NOISE_FLOOR, image_scale, noise_level
from nilatron.core.sense import SenseOperator


def level(scale, of_scale, distortion=0.0):
    """Noise level of R = 2 of the phantom, with maps that differ from the true ones by smooth ripples."""
    rng = np.random.default_rng(0)
    truth, maps = scale * phantom((1, 48, 40)), coil_maps(4, (1, 48, 40))
    counts = np.zeros((1, 48, 40), np.float32)
    counts[:, ::2] = counts[:, 16:32] = 1
    operator = SenseOperator(maps, counts)
    data = operator.forward(truth)
    data = data + operator.weights * complex_normal(rng, data.shape, data)
    ripples = np.cos(np.arange(48)[:, None] * np.arange(1, 5)[:, None, None, None])
    assumed = SenseOperator((maps * (1 + distortion * ripples)).astype(np.complex64), counts)
    return noise_level(assumed, data, cg_sense(assumed, data), of_scale)


def test_image_scale_is_a_percentile_of_the_magnitude():
    ramp = np.linspace(0, 1, 1001, dtype=np.float32)[None, None] * np.complex64(2j)
    assert image_scale(ramp) == pytest.approx(2 * 0.995)
    assert image_scale(0 * ramp) == 1.0


@pytest.mark.parametrize("scale", [3, 30, 300])
def test_whitened_noise_is_one(scale):
    assert level(scale, scale) == 1.0


def test_what_wrong_maps_leave_unexplained_counts_as_noise():
    assert 1.5 < level(100, 100, 0.3) < 5


@pytest.mark.parametrize("sigma", [1.5, 4.0])
def test_the_noise_level_is_that_which_explains_the_residual(sigma):
    rng, shape = np.random.default_rng(0), (1, 16, 16)
    operator = SenseOperator(np.ones((2, *shape), complex), np.ones(shape))
    data = sigma * complex_normal(rng, (2, *shape), operator.coil_maps)
    image = np.zeros(shape, complex)
    found = noise_level(operator, data, image, 1.0)
    assert chi_squared(operator, data, image, sigma=found) == pytest.approx(1)
    assert found == pytest.approx(sigma, rel=5 / np.sqrt(4 * data.size))  # of an rms: five standard errors


def test_far_above_the_noise_the_model_limits():
    assert level(30, 1e6) == 1e6 * NOISE_FLOOR
