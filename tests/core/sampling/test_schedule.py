import itertools

import numpy as np
import pytest

from nilatron.core.sampling.schedule import geometric_schedule, karras_schedule, linear_vp_schedule


def test_the_schedule_falls_from_its_first_to_its_last_level():
    levels = karras_schedule(8, 0.5, 0.01)
    assert len(levels) == 8
    assert levels[0] == pytest.approx(0.5)
    assert levels[-1] == pytest.approx(0.01)
    assert all(a > b for a, b in itertools.pairwise(levels))
    assert karras_schedule(1, 0.4) == (0.4,)


@pytest.mark.parametrize(("options", "rho"), [({}, 7), ({"rho": 3.0}, 3)])
def test_the_roots_of_the_levels_are_equally_far_apart(options, rho):
    """Karras et al. take seventh roots."""
    gaps = np.diff(np.power(karras_schedule(9, 0.8, 0.03, **options), 1 / rho))
    np.testing.assert_allclose(gaps, gaps[0])


@pytest.mark.parametrize("arguments", [(0, 0.5, 0.01), (4, 0.01, 0.5), (4, 0.5, 0.0)])
def test_impossible_schedules_are_refused(arguments):
    with pytest.raises(ValueError, match="a schedule needs"):
        karras_schedule(*arguments)


def test_the_published_thresholds_are_where_the_authors_schedule_has_them():
    """sigma_y 0.05, 0.1, 0.2, 0.4, 0.8 in model space switch at t = 11, 27, 58, 117, 218."""
    abar = linear_vp_schedule()
    ratio = np.sqrt((1 - abar) / abar)
    assert [int((ratio < s).sum()) for s in (0.05, 0.1, 0.2, 0.4, 0.8)] == pytest.approx([11, 27, 58, 117, 218], abs=1)


def test_geometric_levels_have_equal_ratios():
    assert geometric_schedule(4, 8.0, 1.0) == pytest.approx((8, 4, 2, 1))
    assert geometric_schedule(1, 8.0, 1.0) == (8.0,)


@pytest.mark.parametrize("arguments", [(0, 0.5, 0.01), (4, 0.01, 0.5), (4, 0.5, 0.0)])
def test_impossible_geometric_schedules_are_refused(arguments):
    with pytest.raises(ValueError, match="a schedule needs"):
        geometric_schedule(*arguments)
