from dataclasses import replace

import ismrmrd
import numpy as np
import pytest

from nilatron.gadgets.accumulate import Accumulator, acceleration
from nilatron.gadgets.items import Context, ScanError
from nilatron.pipelines.simulation.simulate import SimulationSettings, simulate_items

N_X, N_Y = 12, 16


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def accumulate(header, lines):
    context = Context(header)
    return list(Accumulator()(iter(lines), context)), context.log


@pytest.fixture
def scan(make_line, rng):
    """Lines with the given counters, in this order, with random samples."""

    def make(*steps, flags=(), **counters):
        return [make_line(rng.standard_normal((2, N_X)), *flags, y=y, **counters) for y in steps]

    return make


def test_lines_lie_where_their_index_says_and_dc_is_central(scan_header, scan):
    header = scan_header((N_X, N_Y, 1), y_limits=(0, 5, 12))  # partial Fourier: line 5 is the centre
    lines = scan(*range(13))
    (item,), _ = accumulate(header, lines)
    np.testing.assert_array_equal(item.kspace[:, 0, N_Y // 2], lines[5].data)
    np.testing.assert_array_equal(item.kspace[:, 0, N_Y // 2 - 5], lines[0].data)
    assert item.counts[0, :, 0].tolist() == [0] * 3 + [1] * 13
    assert item.head.idx.kspace_encode_step_1 == 5


def test_repeated_lines_are_averaged_and_counted(scan_header, scan):
    header = scan_header((N_X, N_Y, 1))
    first, second = scan(*range(N_Y)), scan(3, 4, average=1)
    (item,), _ = accumulate(header, [*first, *second])
    np.testing.assert_allclose(item.kspace[:, 0, 3], (first[3].data + second[0].data) / 2)
    np.testing.assert_allclose(item.kspace[:, 0, 5], first[5].data)
    assert item.counts[0, :, 0].tolist() == [1, 1, 1, 2, 2] + [1] * 11


def test_discarded_samples_do_not_count(scan_header, make_line, rng):
    header = scan_header((N_X, N_Y, 1))
    lines = [make_line(rng.standard_normal((2, N_X)), y=y, discard=(3, 1)) for y in range(N_Y)]
    (item,), _ = accumulate(header, lines)
    assert item.counts[0, 0].tolist() == [0] * 3 + [1] * 8 + [0]
    assert not item.kspace[..., :3].any()


def test_a_slice_leaves_with_its_last_line(scan_header, scan):
    header = scan_header((N_X, N_Y, 1))
    (first_last,) = scan(N_Y - 1, flags=(ismrmrd.ACQ_LAST_IN_SLICE,), slice=0)
    lines = [*scan(*range(N_Y - 1), slice=0), first_last, *scan(*range(N_Y), slice=1)]
    seen = []

    def feed():
        for line in lines:
            seen.append(line)
            yield line

    stream = Accumulator()(feed(), Context(header))
    assert next(stream).head.idx.slice == 0
    assert len(seen) == N_Y
    assert next(stream).head.idx.slice == 1


def test_averages_of_another_pass_are_waited_for(scan_header, scan):
    header = scan_header((N_X, N_Y, 1))
    header.encoding[0].encodingLimits.average = ismrmrd.xsd.limitType(minimum=0, maximum=1, center=0)
    lines = []
    for average in (0, 1):
        lines += scan(*range(N_Y - 1), average=average)
        lines += scan(N_Y - 1, flags=(ismrmrd.ACQ_LAST_IN_SLICE,), average=average)
    (item,), log = accumulate(header, lines)
    assert item.counts.min() == 2
    assert log.problems == []


def test_a_repetition_without_last_flag_leaves_when_the_next_one_is_full(scan_header, scan):
    header = scan_header((N_X, N_Y, 1))
    accumulator, context = Accumulator(), Context(header)
    lines = [line for repetition in range(6) for line in scan(*range(N_Y), repetition=repetition)]
    n_open = []

    def feed():
        for line in lines:
            yield line
            n_open.append(len(accumulator.open))

    items = list(accumulator(feed(), context))
    assert [item.head.idx.repetition for item in items] == list(range(6))
    assert max(n_open) <= 2


def test_lines_after_the_last_one_are_a_problem(scan_header, scan):
    header = scan_header((N_X, N_Y, 1))
    lines = [*scan(*range(N_Y - 1)), *scan(15, flags=(ismrmrd.ACQ_LAST_IN_SLICE,)), *scan(3, 4)]
    items, log = accumulate(header, lines)
    assert len(items) == 1
    assert log.counts["late lines"] == 2
    assert len(log.problems) == 1


def test_other_lines_and_waveforms_are_counted_and_left_out(scan_header, scan):
    header = scan_header((N_X, N_Y, 1))
    others = scan(0, 1, flags=(ismrmrd.ACQ_IS_NAVIGATION_DATA,)) + scan(2, flags=(ismrmrd.ACQ_IS_DUMMYSCAN_DATA,))
    lines = scan(*range(N_Y))
    (item,), log = accumulate(header, [*others, ismrmrd.Waveform(), *lines])
    np.testing.assert_array_equal(item.kspace[:, 0, 0], lines[0].data)
    assert log.counts["lines left out: navigation"] == 2
    assert log.counts["lines left out: dummy"] == 1
    assert log.counts["waveforms"] == 1


@pytest.mark.parametrize(
    ("mode", "steps", "n_lines"), [("embedded", range(5, 12, 2), 8 + 4), ("separate", range(4, 12), 8)]
)
def test_embedded_calibration_is_data_and_separate_is_not(scan_header, scan, mode, steps, n_lines):
    calibration = scan(*steps, flags=(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION,))
    (item,), _ = accumulate(scan_header((N_X, N_Y, 1), mode=mode), [*calibration, *scan(*range(0, N_Y, 2))])
    assert np.count_nonzero(item.counts[0, :, 0]) == n_lines
    assert item.calibration.shape == (2, 1, 8, N_X)
    place = list(steps).index(5)
    np.testing.assert_array_equal(item.calibration[:, 0, 1], calibration[place].data)
    assert acceleration(item.counts) == pytest.approx(N_Y / n_lines)


def test_separate_calibration_serves_every_repetition_of_its_slice(scan_header, scan):
    header = scan_header((N_X, N_Y, 1), mode="separate")
    flag = (ismrmrd.ACQ_IS_PARALLEL_CALIBRATION,)
    lines = [line for s in (0, 1) for line in scan(*range(4, 12), flags=flag, slice=s)]
    own = {s: lines[8 * s].data for s in (0, 1)}
    lines += [line for r in (0, 1) for s in (0, 1) for line in scan(*range(0, N_Y, 2), slice=s, repetition=r)]
    items, _ = accumulate(header, lines)
    assert len(items) == 4
    for item in items:
        np.testing.assert_array_equal(item.calibration[:, 0, 0], own[item.head.idx.slice])


def test_calibration_that_counts_from_its_own_zero_is_centred_on_its_strongest_line(scan_header, make_line, rng):
    header = scan_header((N_X, 64, 1), mode="separate")
    flag = ismrmrd.ACQ_IS_PARALLEL_CALIBRATION
    size = [1, 2, 3, 4, 5, 20, 5, 4, 3, 2]
    calibration = [make_line(a * rng.standard_normal((2, N_X)), flag, y=y) for y, a in enumerate(size)]
    imaging = [make_line(rng.standard_normal((2, N_X)), y=y) for y in range(0, 64, 2)]
    (item,), _ = accumulate(header, [*calibration, *imaging])
    n_lines = item.calibration.shape[2]
    np.testing.assert_array_equal(item.calibration[:, 0, n_lines // 2], calibration[5].data)


def test_limits_without_a_centre_mean_the_middle_of_the_matrix(scan_header, scan):
    header = scan_header((N_X, N_Y, 1), y_limits=(0, 0, N_Y - 1))
    lines = scan(*range(N_Y))
    (item,), _ = accumulate(header, lines)
    np.testing.assert_array_equal(item.kspace[:, 0, 3], lines[3].data)


@pytest.mark.parametrize("step", [16, 200])
def test_line_outside_the_limits(scan_header, scan, step):
    header = scan_header((N_X, N_Y, 1))
    with pytest.raises(ScanError, match=rf"kspace_encode_step_1 = {step}, outside the header's limits 0 to 15.*16"):
        accumulate(header, scan(0, step))


def test_line_with_other_coils(scan_header, make_line):
    header = scan_header((N_X, N_Y, 1))
    with pytest.raises(ScanError, match="expected a line of 2 coils, got 3"):
        accumulate(header, [make_line(np.ones((2, N_X)), y=0), make_line(np.ones((3, N_X)), y=1)])


@pytest.mark.parametrize("calibration", ["embedded", "separate"])
def test_averages_are_averaged_whatever_the_calibration(calibration):
    """Noise-free averages of a line are equal, so their mean is the line; calibration serves every repetition alike."""
    settings = SimulationSettings(
        matrix=(32, 24, 1),
        n_coils=4,
        noise_std=0.0,
        acceleration=2,
        calibration=calibration,
        calibration_lines=12,
        n_repetitions=2,
        readout_oversampling=1.0,
    )
    found = {}
    for n_averages in (1, 3):
        header, items = simulate_items(replace(settings, n_averages=n_averages))
        found[n_averages] = list(Accumulator()(iter(items), Context(header)))
    for once, thrice in zip(found[1], found[3], strict=True):
        assert thrice.counts.max() == 3
        np.testing.assert_allclose(thrice.kspace, once.kspace, atol=1e-5)
        np.testing.assert_allclose(thrice.calibration, once.calibration, atol=1e-5)
    first, second = found[3]
    np.testing.assert_allclose(first.calibration, second.calibration, atol=1e-6)


def heads_of(lines):
    table = np.zeros(len(lines), ismrmrd.hdf5.acquisition_header_dtype)
    for row, line in zip(table, lines, strict=True):
        row["flags"], row["active_channels"] = line.flags, line.active_channels
        row["idx"]["kspace_encode_step_1"] = line.idx.kspace_encode_step_1
        row["idx"]["contrast"] = line.idx.contrast
    return table


@pytest.mark.parametrize("is_file", [True, False])
@pytest.mark.parametrize("position", [0, 5, N_Y])
@pytest.mark.parametrize("empty", [{"n": 0}, {"n": N_X, "discard": (N_X, 0)}, {"n": N_X, "discard": (9, 7)}])
def test_lines_without_samples_are_left_out_with_a_word(scan_header, scan, make_line, caplog, is_file, position, empty):
    lines, header = scan(*range(N_Y)), scan_header((N_X, N_Y, 1))
    (expected,), _ = accumulate(header, lines)
    lines.insert(position, make_line(np.ones((2, empty["n"])), y=3, discard=empty.get("discard", (0, 0))))
    context = Context(header, heads=heads_of(lines) if is_file else None)
    (item,) = Accumulator()(iter(lines), context)
    np.testing.assert_array_equal(item.kspace, expected.kspace)
    assert not context.log.problems
    assert context.log.counts["lines without samples, left out"] == 1
    assert "no samples that count: left out" in caplog.text


@pytest.mark.parametrize("odd", [0, 7, N_Y - 1])
def test_a_line_of_other_channels_than_most_of_its_image_is_left_out_and_told(scan_header, scan, make_line, odd):
    lines = scan(*range(N_Y))
    lines[odd] = make_line(np.ones((3, N_X)), y=odd)
    context = Context(scan_header((N_X, N_Y, 1)), heads=heads_of(lines))
    (item,) = Accumulator()(iter(lines), context)
    assert np.flatnonzero(item.counts[0, :, 0] == 0).tolist() == [odd]
    assert ["3 channels, unlike most of its image: left out" in problem for problem in context.log.problems] == [True]


@pytest.mark.parametrize("lengths", [(2 * N_X, N_X), (N_X, 2 * N_X)])
def test_images_with_and_without_oversampling_are_told_once(scan_header, make_line, lengths):
    header = scan_header((2 * N_X, N_Y, 1), (N_X, N_Y, 1))
    lines = [make_line(np.ones((2, n)), y=y, contrast=i) for i, n in enumerate(lengths) for y in range(N_Y)]
    items, log = accumulate(header, lines)
    assert len(items) == 2
    (problem,) = log.problems
    assert f"has {lengths[1]} samples, unlike those before it" in problem
    assert accumulate(header, [line for line in lines if line.idx.contrast == 0])[1].problems == []


def test_lines_measured_in_several_slices_are_told_once(scan_header, scan):
    header, lines = scan_header((N_X, N_Y, 1)), [*scan(*range(N_Y)), *scan(*range(N_Y))]
    for number, line in enumerate(lines):
        line.slice_dir[:], line.position[:] = (0, 0, 1), (0, 0, 7.0 * (number >= N_Y))
    _, log = accumulate(header, lines)
    expected = f"{N_Y} of {2 * N_Y} lines differ in place by up to 7 mm and 0 degrees"
    assert [expected in problem for problem in log.problems] == [True]


def test_echoes_that_no_line_counts_are_told(scan_header, scan):
    header, lines = scan_header((N_X, N_Y, 1), n_repetitions=2), [*scan(*range(N_Y)), *scan(*range(N_Y))]
    context = Context(header, heads=heads_of(lines))
    list(Accumulator()(iter(lines), context))
    assert ["their images are mixed in one" in problem for problem in context.log.problems] == [True]


@pytest.mark.parametrize(("echo", "is_told"), [(6, False), (5, False), (4, True), (9, True)])
def test_whole_lines_of_one_image_with_unlike_echoes_are_told_once(scan_header, make_line, rng, echo, is_told):
    data = rng.standard_normal((N_Y, 2, N_X))
    lines = [make_line(data[y], y=y, echo=echo if y > 9 else N_X // 2) for y in range(N_Y)]
    _, log = accumulate(scan_header((N_X, N_Y, 1)), lines)
    told = [problem for problem in log.problems if "others of its image have it at 6" in problem]
    assert len(told) == is_told
