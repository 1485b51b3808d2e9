import numpy as np
import pytest

from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.report.slices import ImageGroup

ONES = np.ones((1, 1, 4, 6), np.float32)


def test_images_of_a_slice_are_together_whatever_the_order_of_arrival(image_file):
    path = image_file(
        (ONES, 2, 1, {}), (2 * ONES, 2, 0, {}), (3 * ONES, 1, 0, {}), (4 * ONES, 1, 1, {}), (5 * ONES, 101, 0, {})
    )
    with ImageGroup(path, "images") as group:
        found = group.slices()
        pixels = [{role: group.pixels(one, role).max() for role in one.places} for one in found]
    assert [one.label for one in found] == ["slice 0", "slice 1"]
    assert pixels == [{"main": 3, "conventional": 2, "uncertainty": 5}, {"main": 4, "conventional": 1}]


@pytest.mark.parametrize("kind", [np.uint16, np.complex64])
def test_pixels_are_magnitudes_in_snr_units(image_file, kind):
    stored = (ONES * (3 - 4j if kind is np.complex64 else 5)).astype(kind)
    with ImageGroup(image_file((stored, 1, 0, {"RescaleSlope": "0.1"})), "images") as group:
        found = group.pixels(group.slices()[0], "main")
    assert (found.dtype, found.shape) == (np.float32, (1, 4, 6))
    np.testing.assert_allclose(found, 0.5, rtol=1e-6)


def test_a_slice_says_what_is_wrong_with_it(image_file):
    meta = {"nilatron_fallback": "no time", "nilatron_chi2": "1.02"}
    with ImageGroup(image_file((ONES, 1, 0, meta), (ONES, 2, 0, {"nilatron_doubt": "ghosts"})), "images") as group:
        (found,) = group.slices()
    assert sorted(found.remarks) == ["doubtful conventional image: ghosts", "fall-back: no time"]
    assert (found.fact("chi2"), found.fact("seed")) == ("1.02", "")


def test_a_group_that_is_not_there(image_file):
    with pytest.raises(InputError, match="no group 'other'"):
        ImageGroup(image_file((ONES, 1, 0, {})), "other")
