from dataclasses import replace
from types import SimpleNamespace

import ismrmrd
import numpy as np
import pytest

from nilatron.gadgets.items import KSpaceSlice
from nilatron.gadgets.nila.memory import MAX_DISTANCE_MM, MAX_VOLUMES, SliceMemory, described
from nilatron.gadgets.nila.remembered import EarlierImage, Remembered, geometry_of

SHAPE = (1, 4, 5)


def item(number, position=None, normal=(0.0, 0.0, 1.0), **counters):
    head = ismrmrd.AcquisitionHeader()
    head.idx.slice = number
    for name, value in counters.items():
        setattr(head.idx, name, value)
    head.read_dir[:], head.phase_dir[:], head.slice_dir[:] = (1, 0, 0), (0, 1, 0), normal
    head.position[:] = [3.0 * number * n for n in normal] if position is None else position
    return KSpaceSlice(np.zeros((1, *SHAPE), np.complex64), np.zeros(SHAPE, np.float32), None, head, None)


def header(n_slices):
    limit = SimpleNamespace(minimum=0, maximum=n_slices - 1)
    return SimpleNamespace(encoding=[SimpleNamespace(encodingLimits=SimpleNamespace(slice=limit))])


def image(value=1.0):
    return np.full(SHAPE, value * 1j, np.complex64)


def numbers(memory, asked):
    return sorted(one.image.number for one in memory.neighbours(asked))


def remembering(mode, *items):
    memory = SliceMemory(mode, header(9))
    for one in items:
        memory.finish(one, image(one.head.idx.slice))
    return memory


def test_off_remembers_nothing():
    assert numbers(remembering("off", item(0), item(2)), item(1)) == []


@pytest.mark.parametrize("arrival", [(0, 2, 4, 6), (6, 4, 2, 0), (4, 0, 6, 2)])
def test_neighbours_are_the_nearest_by_position_on_each_side_whatever_the_order_of_arrival(arrival):
    memory = remembering("past", *map(item, arrival))
    assert numbers(memory, item(3)) == [2, 4]
    assert numbers(memory, item(7)) == [6]
    found = memory.neighbours(item(3))
    assert sorted(one.distance_mm for one in found) == pytest.approx([-3.0, 3.0])
    assert {float(one.image.magnitude.max()) for one in found} == {2.0, 4.0}


def test_numbers_say_nothing_about_positions():
    memory = remembering("past", item(0, (0, 0, 0)), item(1, (0, 0, 20.0)), item(2, (0, 0, 4.0)))
    assert numbers(memory, item(3, (0, 0, 2.0))) == [0, 2]


def test_a_slice_too_far_away_is_no_neighbour():
    memory = remembering("past", item(0, (0, 0, 0)))
    assert numbers(memory, item(1, (0, 0, MAX_DISTANCE_MM + 0.1))) == []
    assert numbers(memory, item(1, (0, 0, MAX_DISTANCE_MM - 0.1))) == [0]


def test_the_same_place_is_no_neighbour():
    assert numbers(remembering("past", item(0)), item(0)) == []


@pytest.mark.parametrize(
    "other",
    [item(1, contrast=1), item(1, phase=1), item(1, set=1), item(1, repetition=1), item(1, normal=(0, 0.6, 0.8)),
     item(1, position=(5.0, 0, 3.0)), replace(item(1), counts=np.zeros((1, 4, 6), np.float32))],
    ids=["contrast", "phase", "set", "repetition", "orientation", "geometry", "matrix"],
)  # fmt: skip
def test_another_volume_begins_with_an_empty_memory(other):
    memory = remembering("past", item(0))
    assert numbers(memory, item(1)) == [0]
    assert numbers(memory, other) == []


def test_old_volumes_are_forgotten():
    memory = SliceMemory("past", None)
    for repetition in range(MAX_VOLUMES + 1):
        memory.finish(item(0, repetition=repetition), image())
    assert numbers(memory, item(1, repetition=0)) == []
    assert numbers(memory, item(1, repetition=1)) == [0]


def test_both_has_odd_slices_wait_for_both_sides_and_even_ones_for_nobody():
    memory = SliceMemory("both", header(4))
    assert memory.is_ready(item(0))
    assert memory.is_ready(item(2))
    memory.finish(item(0), image())
    assert not memory.is_ready(item(1))
    memory.finish(item(2), image())
    assert memory.is_ready(item(1))
    assert memory.is_ready(item(3))  # it is the last
    assert numbers(memory, item(1)) == [0, 2]
    assert numbers(memory, item(2)) == []


def test_both_tells_nobody_of_a_slice_that_was_told_itself():
    memory = remembering("both", item(0), item(2), item(1))
    assert numbers(memory, item(3)) == [2]


@pytest.mark.parametrize("failed", [None, np.ones((2, 4, 5), np.complex64)], ids=["failed", "several partitions"])
def test_nobody_waits_for_a_slice_without_an_image_or_hears_of_it(failed):
    memory = SliceMemory("both", header(3))
    memory.finish(item(0), failed)
    memory.finish(item(2), image())
    assert memory.is_ready(item(1))
    assert numbers(memory, item(1)) == [2]


def test_only_both_separates_volumes():
    one, other = item(1), item(0, contrast=1)
    assert SliceMemory("both").separates(one, other)
    assert not SliceMemory("both").separates(one, item(5))
    assert not SliceMemory("past").separates(one, other)


def test_neighbours_in_words():
    memory = remembering("past", item(0), item(2))
    assert described(memory.neighbours(item(1))) == "slice 0 at -3.0 mm, slice 2 at +3.0 mm"
    assert described([]) == "none"


def earlier(number, **other):
    """An image of an earlier scan at the place of a slice."""
    there = item(number, **other)
    image_there = Remembered(number, 3.0 * number, np.ones((4, 5), np.float32), scale=1.0)
    return EarlierImage(geometry_of(there.head, SHAPE), int(there.head.idx.contrast), image_there)


@pytest.mark.parametrize("mode", ["past", "both"])
def test_an_earlier_scan_is_there_from_the_beginning(mode):
    memory = SliceMemory(mode, header(9), [earlier(1), earlier(2), earlier(3)])
    assert numbers(memory, item(2)) == [1, 3]
    assert numbers(memory, item(0)) == [1]
    assert not memory.is_strange(item(0))


def test_off_hears_of_no_earlier_scan():
    assert numbers(SliceMemory("off", header(9), [earlier(1)]), item(0)) == []


def test_the_scan_itself_goes_before_an_earlier_one_that_is_no_nearer():
    memory = SliceMemory("past", header(9), [earlier(0), earlier(2)])
    memory.finish(item(0), image())
    memory.finish(item(3), image())
    found = {one.image.number: one.image.scale for one in memory.neighbours(item(1))}
    assert found == {0: None, 2: 1.0}


@pytest.mark.parametrize("strange", [earlier(1, contrast=1), earlier(1, normal=(0, 0.6, 0.8))])
def test_an_earlier_scan_of_another_volume_is_strange_and_tells_nothing(strange):
    memory = SliceMemory("past", header(9), [strange])
    assert memory.is_strange(item(0))
    assert numbers(memory, item(0)) == []


def test_no_earlier_scan_is_not_strange():
    assert not SliceMemory("past", header(9)).is_strange(item(0))
