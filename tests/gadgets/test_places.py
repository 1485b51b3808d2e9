import math
from dataclasses import replace

import ismrmrd
import numpy as np
import pytest

from nilatron.gadgets.accumulate import Accumulator
from nilatron.gadgets.items import Context
from nilatron.gadgets.places import FIELDS
from nilatron.gadgets.recon_data import slices_from_bucket
from nilatron.gadgets.stock.types import AcquisitionBucket
from nilatron.pipelines.simulation.simulate import SimulationSettings, simulate_items

SCAN = SimulationSettings(
    matrix=(32, 32, 1), n_coils=2, noise_std=0.0, centre_mm=(12.0, -7.0, 31.0), angles_deg=(10, 20, 5)
)


def from_lines(lines, context):
    return list(Accumulator()(iter(lines), context))


def from_bucket(lines, context):
    return list(slices_from_bucket(AcquisitionBucket(data=list(lines), ref=[]), context))


def settled(change, made=from_lines, scan=SCAN):
    """The slice of a scan whose lines were changed, its problems, and the place that the scan had."""
    header, lines = simulate_items(scan)
    right = place_of(lines[0])
    for number, line in enumerate(lines):
        change(number, line)
    context = Context(header)
    (item,) = made(lines, context)
    return item, context.log.problems, right


def place_of(head):
    return np.array([getattr(head, name)[:] for name in FIELDS])


def moved(line, *mm):
    line.position[:] = np.array(line.position[:]) + mm


def without_place(number, line):
    if number:
        for name in FIELDS:
            getattr(line, name)[:] = (0, 0, 0)


def turned(number, line):
    if number == 16:  # the central one
        line.read_dir[:], line.phase_dir[:] = line.phase_dir[:], line.read_dir[:]


def not_a_number(number, line):
    if number in (15, 16, 17):
        line.position[:] = (math.nan,) * 3


@pytest.mark.parametrize("made", [from_lines, from_bucket])
@pytest.mark.parametrize("change", [lambda *_: None, without_place, not_a_number, turned])
def test_the_place_that_most_lines_name_is_that_of_the_image(change, made):
    item, problems, right = settled(change, made)
    np.testing.assert_allclose(place_of(item.head), right, atol=1e-6)
    assert problems == []
    assert bool(item.notes) == (change is turned)


@pytest.mark.parametrize("made", [from_lines, from_bucket])
def test_lines_of_two_slices_under_one_number_are_told(made):
    item, problems, _ = settled(lambda number, line: moved(line, 0, 0, 5.0 * (number % 2)), made)
    assert len(problems) == 1
    assert "16 of 32 lines differ in place" in problems[0]
    assert any("several slices" in note for note in item.notes)


def test_slices_that_are_counted_as_partitions_are_told():
    header, lines = simulate_items(replace(SCAN, n_slices=2))
    header.encoding[0].encodedSpace.matrixSize.z = header.encoding[0].reconSpace.matrixSize.z = 2
    header.encoding[0].encodingLimits.kspace_encoding_step_2.maximum = 1
    for line in lines:
        line.idx.kspace_encode_step_2, line.idx.slice = line.idx.slice, 0
    context = Context(header)
    from_lines(lines, context)
    assert "several slices" in " ".join(context.log.problems)


def test_a_patient_who_moves_a_little_is_a_note():
    item, problems, _ = settled(lambda number, line: moved(line, 0.05 * number, 0, 0))
    assert problems == []
    assert item.head.position[0] == pytest.approx(12.0 + 0.05 * 16)
    assert any("differ in place" in note for note in item.notes)


def test_directions_that_no_line_has_are_not_turned():
    def change(number, line):
        line.read_dir[:] = line.phase_dir[:] = (0, 0, 0)
        moved(line, 0, 0, 0.05 * number)

    item, problems, _ = settled(change)
    assert problems == []
    assert any("and 0 degrees" in note for note in item.notes)


def test_lines_without_any_place_say_nothing():
    item, problems, _ = settled(lambda _, line: without_place(1, line))
    assert (problems, item.notes) == ([], ())
    assert not place_of(item.head).any()


def test_other_scans_do_not_count():
    def change(number, line):
        if number % 4 == 1:
            line.set_flag(ismrmrd.ACQ_IS_NAVIGATION_DATA)
            moved(line, 0, 0, 100)

    item, problems, _ = settled(change)
    assert (problems, item.notes) == ([], ())
