from collections import Counter
from dataclasses import replace
from itertools import pairwise

import ismrmrd
import numpy as np

from nilatron.pipelines.simulation.scanned_object import ground_truth
from nilatron.pipelines.simulation.settings import SimulationSettings
from nilatron.pipelines.simulation.simulate import simulate_items

SMALL = SimulationSettings(matrix=(32, 24, 1), n_coils=4, noise_lines=4, calibration_lines=8)


def test_acceleration_with_embedded_calibration(lines_of):
    settings = replace(SMALL, matrix=(32, 40, 1), acceleration=4, calibration_lines=8)
    header, items = simulate_items(settings)
    lines = lines_of(items)
    both = [a.idx.kspace_encode_step_1 for a in lines if a.isFlagSet(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING)]
    only = [a.idx.kspace_encode_step_1 for a in lines if a.isFlagSet(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION)]
    plain = {a.idx.kspace_encode_step_1 for a in lines} - set(both) - set(only)
    assert sorted(both + only) == list(range(16, 24))
    assert both == [16, 20]
    assert sorted(plain | set(both)) == list(range(0, 40, 4))
    assert header.encoding[0].parallelImaging.accelerationFactor.kspace_encoding_step_1 == 4
    assert header.encoding[0].parallelImaging.calibrationMode.value == "embedded"


def test_separate_calibration_comes_first_and_is_flagged_as_such(lines_of):
    settings = replace(SMALL, acceleration=3, calibration="separate", n_slices=2, n_repetitions=2)
    header, items = simulate_items(settings)
    lines = lines_of(items)
    separate = [a for a in lines if a.isFlagSet(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION)]
    assert len(separate) == 2 * 8
    assert lines[:8] == separate[:8]
    assert Counter(a.idx.slice for a in separate) == {0: 8, 1: 8}
    assert not any(a.isFlagSet(ismrmrd.ACQ_FIRST_IN_SLICE) for a in separate)
    assert not any(a.isFlagSet(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING) for a in lines)
    assert header.encoding[0].parallelImaging.calibrationMode.value == "separate"


def test_no_calibration(lines_of):
    header, items = simulate_items(replace(SMALL, acceleration=2, calibration="none"))
    assert len(lines_of(items)) == 12
    assert header.encoding[0].parallelImaging.calibrationMode.value == "other"


def test_two_phase_encode_directions(lines_of):
    settings = replace(SMALL, matrix=(16, 16, 12), acceleration=2, acceleration_z=2, calibration_lines=4)
    header, items = simulate_items(settings)
    sampled = np.zeros((12, 16), int)
    for line in lines_of(items):
        sampled[line.idx.kspace_encode_step_2, line.idx.kspace_encode_step_1] += 1
    assert sampled.max() == 1
    assert sampled[4:8, 6:10].all()
    sampled[4:8, 6:10] = 0
    assert sampled[::2, ::2].sum() == sampled.sum() == 6 * 8 - 4
    limits = header.encoding[0].encodingLimits
    assert (limits.kspace_encoding_step_2.maximum, limits.kspace_encoding_step_2.center) == (11, 6)


def test_partial_fourier_and_asymmetric_echo_leave_out_the_beginning(object_kspace):
    settings = replace(SMALL, noise_std=0.0, matrix=(32, 32, 1), partial_fourier=6 / 8, asymmetric_echo=0.75)
    header, items = simulate_items(settings)
    limits = header.encoding[0].encodingLimits.kspace_encoding_step_1
    assert (limits.minimum, limits.maximum, limits.center) == (0, 23, 8)
    assert [line.idx.kspace_encode_step_1 for line in items] == list(range(24))
    assert {(line.number_of_samples, line.center_sample) for line in items} == {(48, 16)}
    full = replace(settings, partial_fourier=1.0, asymmetric_echo=1.0)
    whole = object_kspace(full, simulate_items(full)[1])
    part = object_kspace(settings, items)
    np.testing.assert_array_equal(part[..., 8:, 16:], whole[..., 8:, 16:])
    assert not part[..., :8, :].any()
    assert not part[..., :16].any()
    np.testing.assert_array_equal(ground_truth(settings), ground_truth(full))


def test_order_indices_and_flags_of_a_scan_with_everything(lines_of):
    settings = replace(SMALL, n_slices=5, n_repetitions=2, n_averages=2, n_contrasts=2)
    header, items = simulate_items(settings)
    lines = lines_of(items)
    assert len(lines) == 5 * 2 * 2 * 2 * 24
    order = list(dict.fromkeys((a.idx.repetition, a.idx.contrast, a.idx.slice, a.idx.average) for a in lines))
    assert order == [(r, c, s, n) for r in (0, 1) for c in (0, 1) for s in (0, 2, 4, 1, 3) for n in (0, 1)]
    counts = Counter(flag for a in lines for flag in range(1, 32) if a.isFlagSet(flag))
    for name, expected in {"SLICE": 20, "AVERAGE": 40, "CONTRAST": 4, "REPETITION": 2}.items():
        assert counts[getattr(ismrmrd, f"ACQ_FIRST_IN_{name}")] == expected, name
        assert counts[getattr(ismrmrd, f"ACQ_LAST_IN_{name}")] == expected, name
    assert counts[ismrmrd.ACQ_LAST_IN_MEASUREMENT] == 1
    assert lines[-1].isFlagSet(ismrmrd.ACQ_LAST_IN_MEASUREMENT)
    for earlier, later in pairwise(lines):
        if earlier.isFlagSet(ismrmrd.ACQ_LAST_IN_SLICE):
            assert later.isFlagSet(ismrmrd.ACQ_FIRST_IN_SLICE)
    limits = header.encoding[0].encodingLimits
    maxima = {name: getattr(limits, name).maximum for name in ("slice", "repetition", "average", "contrast")}
    assert maxima == {"slice": 4, "repetition": 1, "average": 1, "contrast": 1}


def test_line_order_runs_through_all_slices_with_each_line(lines_of):
    _, items = simulate_items(replace(SMALL, n_slices=3, slice_order="line"))
    lines = lines_of(items)
    assert [(a.idx.kspace_encode_step_1, a.idx.slice) for a in lines[:6]] == [(y, s) for y in (0, 1) for s in (0, 1, 2)]
    assert sum(a.isFlagSet(ismrmrd.ACQ_LAST_IN_SLICE) for a in lines) == 3
