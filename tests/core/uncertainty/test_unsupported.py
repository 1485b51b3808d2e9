"""Outlines of structures that neither the conventional image nor the interval supports, on images where it is known."""

import numpy as np
import pytest
from scipy import ndimage

from nilatron.core.uncertainty.unsupported import n_spots, outline, unsupported

SHAPE = (48, 40)


@pytest.fixture
def tissue():
    """Even tissue of 10 in air."""
    image = np.zeros(SHAPE, np.float32)
    image[6:-6, 6:-6] = 10
    return image


def spot(value):
    blob = np.zeros(SHAPE, np.float32)
    blob[20:23, 18:21] = value
    return blob


def test_a_spot_that_only_the_image_has_is_found_where_the_interval_does_not_exclude_its_absence(tissue):
    found = unsupported(tissue + spot(3.0), tissue, np.full(SHAPE, 4.0))
    assert n_spots(found) == 1
    assert found[21, 19]
    assert not found[:16].any()
    assert not found[28:].any()


@pytest.mark.parametrize("value", [3.0, -3.0])
def test_the_interval_supports_a_spot_that_it_excludes_the_absence_of(tissue, value):
    assert unsupported(tissue + spot(value), tissue, np.full(SHAPE, 4.0)).any()
    assert not unsupported(tissue + spot(value), tissue, np.full(SHAPE, 0.3)).any()


def test_the_conventional_image_supports_what_it_shows_at_least_half_of(tissue):
    image = tissue + spot(3.0)
    assert not unsupported(image, tissue + spot(2.0), np.full(SHAPE, 4.0)).any()
    assert unsupported(image, tissue + spot(1.0), np.full(SHAPE, 4.0)).any()
    assert unsupported(image, tissue + spot(-3.0), np.full(SHAPE, 4.0)).any()


def test_what_nobody_sees_and_what_lies_in_air_is_not_outlined(tissue):
    air = np.zeros(SHAPE, np.float32)
    air[1:4, 1:4] = 0.1
    assert not unsupported(tissue + air, tissue, np.full(SHAPE, 4.0)).any()
    assert not unsupported(tissue + spot(0.5), tissue, np.full(SHAPE, 4.0)).any()


def test_no_spot_is_smaller_than_four_pixels(tissue):
    noise = np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)
    found = unsupported(tissue + 3 * noise, tissue, np.full(SHAPE, 4.0))
    spots, n = ndimage.label(found)
    assert n == n_spots(found) > 5
    assert ndimage.sum_labels(found, spots, range(1, n + 1)).min() >= 4


def test_the_scale_does_not_matter(tissue):
    image, half_width = tissue + spot(3.0), np.full(SHAPE, 4.0)
    np.testing.assert_array_equal(
        unsupported(image, tissue, half_width), unsupported(image / 1000, tissue / 1000, half_width / 1000)
    )


def test_an_outline_surrounds_and_covers_nothing():
    mask = np.zeros(SHAPE, bool)
    mask[20:23, 18:21] = True
    ring = outline(mask)
    assert not (ring & mask).any()
    assert np.count_nonzero(ring) == 16


def test_images_of_different_sizes_are_refused(tissue):
    with pytest.raises(ValueError, match="three images"):
        unsupported(tissue, tissue[:-1], tissue)
