import math

import numpy as np
import pytest

from nilatron.pipelines.training.curves import BOTTOM, COLOURS, LEFT, RIGHT, SIZE, TOP, draw_panels


def pixels_of(panels, colour=COLOURS[0]):
    """Places (y, x) of a colour within the axes."""
    picture = np.asarray(draw_panels(panels))
    wanted = [int(colour[k : k + 2], 16) for k in (1, 3, 5)]
    inside = picture[TOP : SIZE[1] - BOTTOM, LEFT : SIZE[0] - RIGHT]
    return np.argwhere((inside == wanted).all(axis=-1))


def test_a_curve_falls_from_left_to_right():
    places = pixels_of({"loss": {"loss": [(0, 1.0), (50, 0.1), (100, 0.01)]}})
    assert np.corrcoef(places[:, 0], places[:, 1])[0, 1] > 0.99  # a line on a logarithmic axis


@pytest.mark.parametrize("curve", [[], [(0, math.nan)], [(0, 0.0)], [(5, 2.0)], [(5, 2.0), (6, 2.0)]])
def test_few_or_no_values_are_no_error(curve):
    assert draw_panels({"loss": {"loss": curve}, "error": {}}).size == (SIZE[0], 2 * SIZE[1])


def test_each_curve_has_its_colour():
    curves = {name: [(0, 1.0 + k), (1, 2.0 + k)] for k, name in enumerate("abc")}
    assert all(len(pixels_of({"errors": curves}, colour)) for colour in COLOURS[:3])
