"""Outlined captures: one for each slice that can be compared, of the run and in its place."""

import numpy as np
import pytest

from nilatron.pipelines.files.outlined import COLOUR

TISSUE = np.pad(np.full((1, 12, 20), 10, np.float32), ((0, 0), (4, 4), (5, 5)))


def spotted():
    pixels = TISSUE.copy()
    pixels[0, 9:12, 14:17] += 3
    return pixels


@pytest.fixture
def compared(image):
    """The three images of a slice."""

    def make(number=0, conventional=TISSUE):
        place = {"slice": number, "at_mm": 6.0 * number}
        return [
            image(series=1, pixels=spotted(), **place),
            image(series=2, pixels=conventional, **place),
            image(series=101, pixels=np.full_like(TISSUE, 2), **place),
        ]

    return make


def captures(found):
    return [data for data in found if data.SOPClassUID == "1.2.840.10008.5.1.4.1.1.7"]


def test_a_slice_with_an_error_map_has_its_outlines(datasets, compared):
    found = captures(datasets(*compared(1), *compared(0), series_offset=7000))
    assert [(data.SeriesNumber, data.InstanceNumber, data.SliceLocation) for data in found] == [
        (7161, 1, found[0].SliceLocation),
        (7161, 2, found[0].SliceLocation + 6),
    ]
    assert len({data.SeriesInstanceUID for data in found}) == 1
    assert found[0].ImageComments.startswith("1 spot outlined: neither the conventional image nor")
    assert "research only" in found[0].ImageComments
    picture = found[0].pixel_array
    assert picture.shape == (20, 30, 3)
    assert (picture == COLOUR).all(axis=-1).sum() >= 12


def test_an_image_that_the_conventional_one_supports_has_no_outline(datasets, compared):
    (found,) = captures(datasets(*compared(conventional=spotted())))
    assert found.ImageComments.startswith("0 spots outlined")
    assert not (found.pixel_array == COLOUR).all(axis=-1).any()


def test_slices_without_a_map_or_of_other_sizes_have_none(datasets, compared):
    assert captures(datasets(*compared()[:2])) == []
    assert captures(datasets(*compared(conventional=TISSUE[:, :-2]))) == []


def test_the_same_run_has_the_same_identifiers_and_another_others(datasets, compared):
    def uids(**how):
        (found,) = captures(datasets(*compared(), **how))
        return found.SeriesInstanceUID, found.SOPInstanceUID

    assert uids() == uids()
    assert not set(uids()) & set(uids(raw="another"))
