import numpy as np

from nilatron.core.baselines.zero_filled import zero_filled
from nilatron.core.sense import SenseOperator

RNG = np.random.default_rng(0)


def test_full_sampling_gives_the_image_however_often_lines_were_averaged():
    maps = RNG.standard_normal((3, 1, 9, 8)) + 1j * RNG.standard_normal((3, 1, 9, 8))
    maps /= np.linalg.norm(maps, axis=0)
    x = RNG.standard_normal((2, 1, 9, 8)) + 0j
    operator = SenseOperator(maps, RNG.integers(1, 4, (1, 9, 8)))
    np.testing.assert_allclose(zero_filled(operator, operator.forward(x)), x, atol=1e-12)


def test_missing_samples_count_as_zero():
    operator = SenseOperator(np.ones((1, 1, 8, 8), complex), np.zeros((1, 8, 8)))
    assert not zero_filled(operator, np.ones((1, 1, 8, 8), complex)).any()
