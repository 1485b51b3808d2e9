import numpy as np

from nilatron.core import scale
from nilatron.core.phantom import coil_maps, phantom
from nilatron.core.sense import SenseOperator
from nilatron.gadgets.problem import Problem, image_scale, mask_outside_coils, noise_level


def test_scale_and_noise_level_are_those_of_the_warm_start():
    operator = SenseOperator(coil_maps(4, (1, 24, 20)), np.ones((1, 24, 20), np.float32))
    image = 30 * phantom((1, 24, 20))
    problem = Problem(operator, operator.forward(1.5 * image), image, np.random.default_rng(0), "cpu")
    assert image_scale(problem) == scale.image_scale(image)
    assert noise_level(problem, 2.0) == scale.noise_level(operator, problem.data, image, 2.0) > 1


def test_what_no_coil_sees_is_blank():
    maps = coil_maps(4, (1, 24, 20))
    maps[..., :5] = 0
    image = mask_outside_coils(
        SenseOperator(maps, np.ones((1, 24, 20), np.float32)), np.ones((1, 24, 20), np.complex64)
    )
    assert not image[..., :5].any()
    assert (image[..., 5:] == 1).all()
