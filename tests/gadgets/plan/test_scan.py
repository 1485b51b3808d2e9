"""When images leave, in streams and in files, whatever the order of the lines; and that nothing is lost without a word."""

import ismrmrd
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nilatron.gadgets.accumulate import Accumulator
from nilatron.gadgets.items import Context
from nilatron.gadgets.placement import ImageKey, image_key
from nilatron.gadgets.plan.scan import ScanPlan

N_X, N_Y = 6, 16
LAST, ONLY = ismrmrd.ACQ_LAST_IN_SLICE, ismrmrd.ACQ_IS_PARALLEL_CALIBRATION
KEY = ImageKey(0, 0, 0, 0, 0, 0)


def heads_of(lines):
    """The table of heads as a file has it."""
    table = np.zeros(len(lines), ismrmrd.hdf5.acquisition_header_dtype)
    for row, line in zip(table, lines, strict=True):
        row["flags"], row["encoding_space_ref"] = line.flags, line.encoding_space_ref
        for name in row["idx"].dtype.names:
            row["idx"][name] = getattr(line.idx, name) if name != "user" else 0
    return table


def accumulate(header, lines, *, is_file):
    """Slices by image, how many lines had come when each left, and what was told."""
    context, found, n_read = Context(header, heads=heads_of(lines) if is_file else None), {}, 0

    def read():
        nonlocal n_read
        for line in lines:
            n_read += 1
            yield line

    for item in Accumulator()(read(), context):
        key = image_key(item.head)
        assert key not in found
        found[key] = (item, n_read)
    return found, context.log


@pytest.fixture
def lines_of(make_line):
    rng = np.random.default_rng(0)

    def make(steps, *flags, **counters):
        return [make_line(rng.standard_normal((2, N_X)) + 0j, *flags, y=y, **counters) for y in steps]

    return make


BOTH_WAYS = pytest.mark.parametrize("is_file", [True, False], ids=["file", "stream"])


@BOTH_WAYS
def test_repetitions_as_the_inner_loop(scan_header, lines_of, is_file):
    lines = [line for y in range(N_Y) for r in range(3) for line in lines_of([y], repetition=r)]
    found, log = accumulate(scan_header((N_X, N_Y, 1)), lines, is_file=is_file)
    assert [item.counts.sum() for item, _ in found.values()] == [N_X * N_Y] * 3
    assert log.problems == []


@BOTH_WAYS
def test_repetitions_without_flags_leave_one_after_the_other(scan_header, lines_of, is_file):
    lines = [line for r in range(3) for line in lines_of(range(N_Y), repetition=r)]
    found, log = accumulate(scan_header((N_X, N_Y, 1)), lines, is_file=is_file)
    expected = [N_Y, 2 * N_Y, 3 * N_Y] if is_file else [2 * N_Y, 3 * N_Y, 3 * N_Y]
    assert [n_read for _, n_read in found.values()] == expected
    assert log.problems == []


@BOTH_WAYS
def test_the_last_line_of_a_partition_is_not_the_last_of_the_volume(scan_header, lines_of, is_file):
    header = scan_header((N_X, N_Y, 3))
    lines = []
    for z in range(3):
        lines += lines_of(range(N_Y), z=z)
        lines[-1].set_flag(LAST)
    found, log = accumulate(header, lines, is_file=is_file)
    ((item, _),) = found.values()
    assert item.counts.all()
    assert log.problems == []


@BOTH_WAYS
def test_averages_that_the_limits_do_not_announce(scan_header, lines_of, is_file):
    """A file knows them. A stream believes the first flag, tells that it was wrong, and waits from then on."""
    lines = []
    for s in range(2):
        for average in range(2):
            lines += lines_of(range(N_Y), average=average, slice=s)
            lines[-1].set_flag(LAST)
    found, log = accumulate(scan_header((N_X, N_Y, 1)), lines, is_file=is_file)
    first, second = (item.counts.max() for item, _ in found.values())
    assert second == 2
    if is_file:
        assert (first, log.problems) == (2, [])
    else:
        assert first == 1
        (problem,) = log.problems
        assert "came after its image had left" in problem


@BOTH_WAYS
def test_a_scan_that_stops_early_says_what_is_missing(scan_header, lines_of, is_file):
    found, log = accumulate(scan_header((N_X, N_Y, 1), y_limits=(0, 8, N_Y - 1)), lines_of(range(10)), is_file=is_file)
    ((item, _),) = found.values()
    assert "lines 10 to 15 along y did not come" in log.problems[0]
    assert "incomplete" in item.notes[0]


@BOTH_WAYS
def test_partial_fourier_is_complete(scan_header, lines_of, is_file):
    lines = lines_of(range(5, N_Y))
    _, log = accumulate(scan_header((N_X, N_Y, 1), y_limits=(0, 8, N_Y - 1)), lines, is_file=is_file)
    assert log.problems == []


@BOTH_WAYS
def test_the_last_image_is_short_of_lines_that_the_others_have(scan_header, lines_of, is_file):
    rng = np.random.default_rng(1)
    orders = [rng.permutation(N_Y) for _ in range(4)]
    lines = [line for r, order in enumerate(orders) for line in lines_of(order, repetition=r)][:-5]
    _, log = accumulate(scan_header((N_X, N_Y, 1)), lines, is_file=is_file)
    others = "3 of 4 images have 16" if is_file else "other images have 16"
    assert any(f"11 lines came, {others}" in problem for problem in log.problems)


def test_lines_that_were_lost_are_missed_though_the_last_one_came(scan_header, lines_of):
    """In a file, where the flag of the last line says nothing of those before it."""
    lines = [line for r in range(3) for line in lines_of(range(N_Y), repetition=r)]
    lines[-1].set_flag(LAST)
    _, log = accumulate(scan_header((N_X, N_Y, 1)), lines[: 2 * N_Y + 3] + lines[2 * N_Y + 8 :], is_file=True)
    assert [("11 lines came, 2 of 3 images have 16" in problem) for problem in log.problems] == [True]


def test_frames_of_fewer_lines_than_the_first_lack_none(scan_header, lines_of):
    """A keyhole scan: the outer lines of the first frame serve all."""
    lines = [line for r in range(4) for line in lines_of(range(N_Y) if r == 0 else range(4, 12), repetition=r)]
    for last in range(N_Y - 1, len(lines), 8):
        lines[last].set_flag(LAST)
    _, log = accumulate(scan_header((N_X, N_Y, 1)), lines, is_file=True)
    assert log.problems == []


@BOTH_WAYS
def test_an_image_waits_for_the_calibration_that_comes_after_it(scan_header, lines_of, is_file):
    imaging, calibration = lines_of(range(0, N_Y, 2)), lines_of(range(4, 14), ONLY)
    imaging[-1].set_flag(LAST)
    found, log = accumulate(scan_header((N_X, N_Y, 1), mode="separate"), [*imaging, *calibration], is_file=is_file)
    ((item, _),) = found.values()
    assert item.calibration is not None
    np.testing.assert_array_equal(item.calibration[:, 0, 0], calibration[0].data)
    assert log.problems == []


@BOTH_WAYS
def test_interleaved_frames_calibrate_each_other(scan_header, lines_of, is_file):
    lines = [line for r in range(4) for line in lines_of(range(r % 2, N_Y, 2), repetition=r)]
    for line in lines:
        if line.idx.kspace_encode_step_1 >= N_Y - 2:
            line.set_flag(LAST)
    header = scan_header((N_X, N_Y, 1), n_repetitions=4)
    found, log = accumulate(header, lines, is_file=is_file)
    assert [item.calibration.shape[2] for item, _ in found.values()] == [N_Y] * 4
    assert [n_read for _, n_read in found.values()][:2] == [N_Y, N_Y]  # together: the second one fills k-space
    assert log.problems == []


@st.composite
def scans(draw):
    """Which lines a scan has, in which order, with which flags."""
    n_z, n_slices, n_repetitions, n_averages = (draw(st.integers(1, most)) for most in (2, 2, 3, 2))
    step = draw(st.integers(1, 3))
    keys = [
        {"z": z, "slice": s, "repetition": r, "average": a, "y": y}
        for a in range(n_averages)
        for r in range(n_repetitions)
        for s in range(n_slices)
        for z in range(n_z)
        for y in range(0, N_Y, step)
    ]
    loops = draw(st.permutations(["z", "slice", "repetition", "average", "y"]))
    order = draw(st.sampled_from(["loops", "shuffled"]))
    keys = draw(st.permutations(keys)) if order == "shuffled" else sorted(keys, key=lambda key: [key[n] for n in loops])
    flagged = draw(st.sets(st.integers(0, len(keys) - 1), max_size=6)) | (
        {len(keys) - 1} if draw(st.booleans()) else set()
    )
    segments = draw(st.booleans())
    return n_z, [dict(key, segment=i % 3 if segments else 0) for i, key in enumerate(keys)], flagged


@pytest.mark.slow
@BOTH_WAYS
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(scan=scans())
def test_any_order_gives_the_images_of_the_sorted_scan_or_a_word(scan_header, make_line, is_file, scan):
    n_z, keys, flagged = scan
    header = scan_header((N_X, N_Y, n_z))

    def line_of(key, *flags):
        rng = np.random.default_rng(hash(tuple(sorted((k, v) for k, v in key.items() if k != "segment"))) % 2**32)
        return make_line(rng.standard_normal((2, N_X)) + 0j, *flags, **key)

    lines = [line_of(key, *([LAST] if place in flagged else [])) for place, key in enumerate(keys)]
    plain = [
        line_of(key) for key in sorted(keys, key=lambda k: (k["slice"], k["repetition"], k["average"], k["z"], k["y"]))
    ]
    expected, _ = accumulate(header, plain, is_file=True)
    found, log = accumulate(header, lines, is_file=is_file)
    assert found.keys() == expected.keys()
    if is_file:
        assert log.problems == []
    if not log.problems:
        for key, (item, _) in expected.items():
            np.testing.assert_array_equal(found[key][0].counts, item.counts)
            np.testing.assert_allclose(found[key][0].kspace, item.kspace, atol=1e-5)


def test_flags_of_a_scan_whose_flags_were_wrong_are_not_believed(scan_header):
    plan = ScanPlan(scan_header((N_X, N_Y, 1)))
    for y in range(N_Y):
        plan.take(KEY, (y, 0), is_last=y == N_Y - 1, average=0)
    assert plan.whole_after(KEY) == [KEY]
    assert plan.close(KEY) == ""
    assert not plan.take(KEY, (3, 0), is_last=False, average=1)
    other = KEY._replace(slice=1)
    for y in range(N_Y):
        plan.take(other, (y, 0), is_last=y == N_Y - 1, average=0)
    assert plan.whole_after(other) == []


def test_echoes_of_fewer_lines_lack_none_where_those_of_other_slices_have_as_many(scan_header, lines_of):
    lines = [
        line
        for index in range(2)
        for echo in range(3)
        for line in lines_of(range(6 if echo == 2 else 0, N_Y), slice=index, contrast=echo)
    ]
    found, log = accumulate(scan_header((N_X, N_Y, 1)), lines, is_file=True)
    assert (len(found), log.problems) == (6, [])
    shorter = [
        line for line in lines if (line.idx.slice, line.idx.contrast, line.idx.kspace_encode_step_1) != (1, 1, 9)
    ]
    _, log = accumulate(scan_header((N_X, N_Y, 1)), shorter, is_file=True)
    assert ["15 lines came" in problem for problem in log.problems] == [True]
