"""Which images belong to one slice."""

from types import SimpleNamespace

import numpy as np

from nilatron.pipelines.files.roles import INDICES, TogetherBySlice, slice_of


def head(series, **indices):
    return SimpleNamespace(image_series_index=series, **(dict.fromkeys(INDICES, 0) | indices))


def test_a_slice_is_complete_with_its_last_image_whatever_the_order():
    together = TogetherBySlice()
    assert together.add(head(101, slice=3), "map") is None
    assert together.add(head(1, slice=4), "of another slice") is None
    assert together.add(head(2, slice=3), "conventional") is None
    assert together.add(head(1, slice=3), "image") == {
        "main": "image",
        "conventional": "conventional",
        "uncertainty": "map",
    }
    assert together.add(head(2, slice=4), "conventional") is None


def test_other_times_are_other_slices_and_other_series_nothing():
    together = TogetherBySlice()
    for repetition, series in ((0, 1), (1, 2), (0, 101), (0, 7)):
        assert together.add(head(series, repetition=repetition), series) is None
    assert together.add(head(2), 2) is not None


def test_conventional_images_may_be_far_ahead():
    together = TogetherBySlice()
    for series in (2, 1):
        for n in range(100):
            assert together.add(head(series, slice=n), series) is None
    assert all(together.add(head(101, slice=n), 101) is not None for n in range(100))


def test_slices_that_never_complete_are_not_kept_without_end():
    together = TogetherBySlice(most_waiting=4)
    for n in range(5):
        together.add(head(1, slice=n), n)
        together.add(head(2, slice=n), n)
    assert together.add(head(101, slice=0), "map") is None
    assert together.add(head(101, slice=4), "map") is not None


def test_heads_are_objects_or_records():
    record = np.zeros(1, [(name, "u2") for name in INDICES])[0]
    record["slice"], record["contrast"] = 5, 2
    assert slice_of(record) == slice_of(head(1, slice=5, contrast=2)) == (5, 2, 0, 0, 0, 0)
