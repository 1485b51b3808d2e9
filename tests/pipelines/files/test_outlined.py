"""Outlined pictures: what they show, in which units, and of which images."""

import ismrmrd
import numpy as np
import pytest

from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.files.outlined import COLOUR, count, outlined, snr_pixels, spots_of, with_outlines

SHAPE = (2, 40, 36)


@pytest.fixture
def volumes():
    """Two planes of even tissue of 10; the image has a spot in the second one, and an error of 2."""
    conventional = np.zeros(SHAPE, np.float32)
    conventional[:, 5:-5, 5:-5] = 10
    main = conventional.copy()
    main[1, 18:21, 16:19] += 3
    return {"main": main, "conventional": conventional, "uncertainty": np.full(SHAPE, 2.0, np.float32)}


def as_images(volumes, **meta):
    images = {}
    for role, pixels in volumes.items():
        images[role] = ismrmrd.Image.from_array(pixels[None], transpose=False)
        images[role].attribute_string = ismrmrd.Meta(meta.get(role, {})).serialize()
    return images


def test_spots_of_a_plane_are_in_that_plane_and_in_colour(volumes):
    spots = spots_of(*volumes.values())
    assert (count(spots[:1]), count(spots)) == (0, 1)
    picture = with_outlines(volumes["main"], spots)
    is_coloured = (picture == COLOUR).all(axis=-1)
    assert not is_coloured[0].any()
    assert is_coloured[1].sum() >= 12
    assert not (is_coloured & spots).any()
    grey = picture[~is_coloured]
    assert (grey == grey[:, :1]).all()
    assert (grey.min(), grey.max()) == (0, 255)


def test_calibration_decides_how_wide_the_interval_is(volumes):
    def n_coloured(**meta):
        return int((outlined(as_images(volumes, **meta)) == COLOUR).all(axis=-1).sum())

    assert n_coloured() > 0
    assert n_coloured(uncertainty={"nilatron_uncertainty_kappa": "0.1"}) == 0
    assert n_coloured(uncertainty={"nilatron_uncertainty_kappa": "0.1", "RescaleSlope": "20"}) > 0


def test_pixels_are_magnitudes_in_snr_units():
    meta = ismrmrd.Meta({"RescaleSlope": "0.5"})
    np.testing.assert_array_equal(snr_pixels(np.array([[[6, -4]]], np.int16), meta), [[[3, 2]]])
    np.testing.assert_array_equal(snr_pixels(np.array([[[6j, np.nan]]]), {}), [[[6, 0]]])


def test_images_of_different_sizes_cannot_be_compared(volumes):
    volumes["conventional"] = volumes["conventional"][:, 1:]
    with pytest.raises(InputError, match=r"main has \(2, 40, 36\), conventional has \(2, 39, 36\)"):
        outlined(as_images(volumes))
