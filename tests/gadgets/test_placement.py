import itertools
from types import SimpleNamespace

import ismrmrd
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from nilatron.gadgets.accumulate import Accumulator
from nilatron.gadgets.encoding import Limit
from nilatron.gadgets.items import Context, ScanError, ScanLog
from nilatron.gadgets.placement import (
    PhaseAxis,
    add_readout,
    buffer_columns,
    centre_by_index,
    grid_width,
    image_key,
    n_counting,
    nearest,
    new_grid,
    readout_of,
    row_of,
)
from nilatron.gadgets.recon_data import slices_from_bucket, slices_from_recon_data
from nilatron.gadgets.stock.registry import STOCK_GADGETS
from nilatron.gadgets.stock.types import SamplingLimit

SIZES = st.integers(1, 24)


def encoding(n_x=8, n_y=8, n_z=1, n_kept=None, limits=None):
    """An encoding; `limits` (first, centre, last) by step."""
    found = {
        f"kspace_encoding_step_{step}": SimpleNamespace(minimum=a, center=c, maximum=b)
        for step, (a, c, b) in (limits or {}).items()
    }
    return SimpleNamespace(
        encodedSpace=SimpleNamespace(
            matrixSize=SimpleNamespace(x=n_x, y=n_y, z=n_z), fieldOfView_mm=SimpleNamespace(x=2.0 * n_x)
        ),
        reconSpace=SimpleNamespace(fieldOfView_mm=SimpleNamespace(x=2.0 * (n_kept or n_x))),
        encodingLimits=SimpleNamespace(**found),
    )


def line_of(samples, *, echo=None, reverse=False, discard=(0, 0), y=0, z=0, **counters):
    """A line of one coil, in the order of storage."""
    line = ismrmrd.Acquisition.from_array(np.asarray(samples, np.complex64)[None])
    line.center_sample = len(samples) // 2 if echo is None else echo
    line.discard_pre, line.discard_post = discard
    line.idx.kspace_encode_step_1, line.idx.kspace_encode_step_2 = y, z
    for name, value in counters.items():
        setattr(line.idx, name, value)
    if reverse:
        line.set_flag(ismrmrd.ACQ_IS_REVERSE)
    return line


def rows(y, z, coding):
    return [row_of(line_of([1], y=b, z=a), coding, ScanLog()) for a, b in itertools.product(z, y)]


def test_images_differ_in_each_counter_of_theirs_and_in_no_other():
    line = line_of([1])
    assert image_key(line) == image_key(line.getHead()) == (0, 0, 0, 0, 0, 0)
    own, others = ("slice", "contrast", "phase", "set", "repetition"), ("average", "segment", "kspace_encode_step_1")
    assert len({image_key(line_of([1], **{name: 1})) for name in own}) == len(own)
    assert {image_key(line_of([1], **{name: 1})) for name in others} == {image_key(line)}
    line.encoding_space_ref = 1
    assert image_key(line) == (1, 0, 0, 0, 0, 0)


@pytest.mark.slow
@given(n_y=SIZES, n_z=SIZES, is_announced=st.booleans())
def test_a_full_scan_fills_every_row_once_and_its_central_index_is_dc(n_y, n_z, is_announced):
    limits = {1: (0, n_y // 2, n_y - 1), 2: (0, n_z // 2, n_z - 1)} if is_announced else {}
    coding = encoding(n_y=n_y, n_z=n_z, limits=limits)
    assert rows(range(n_y), range(n_z), coding) == list(itertools.product(range(n_z), range(n_y)))
    assert row_of(line_of([1], y=n_y // 2, z=n_z // 2), coding, ScanLog()) == (n_z // 2, n_y // 2)


@given(n=st.integers(2, 32), data=st.data())
def test_the_lines_of_a_part_of_kspace_have_rows_of_their_own_around_dc(n, data):
    before = data.draw(st.integers(1, n // 2))
    after = data.draw(st.integers(0, n - n // 2 - 1))
    coding = encoding(n_y=n, limits={1: (0, before, before + after)})
    found = [y for _, y in rows(range(before + after + 1), [0], coding)]
    assert found == list(range(n // 2 - before, n // 2 + after + 1))
    assert found[before] == n // 2


def test_a_centre_that_was_not_set_is_the_middle():
    assert row_of(line_of([1], y=3), encoding(limits={1: (0, 0, 7)}), ScanLog()) == (0, 3)


@pytest.mark.parametrize(
    ("index", "strict", "row"),
    [(0, True, 2), (3, True, 5), (4, False, 6), (4, True, None), (6, False, None), (6, True, None)],
)
def test_an_index_outside_the_limits_is_an_error_where_they_must_hold_or_off_the_grid(index, strict, row):
    axis, line, log = PhaseAxis(1, 8, 2, Limit(0, 2, 3)), line_of([1], y=index), ScanLog()
    if row is not None:
        assert axis.row(line, log, strict=strict) == row
        return
    with pytest.raises(
        ScanError, match=f"kspace_encode_step_1 = {index}, outside the header's limits 0 to 3.*grid of 8"
    ):
        axis.row(line, log, strict=strict)


@pytest.mark.parametrize("strict", [True, False])
def test_an_index_inside_the_limits_and_off_the_grid_is_left_out_and_told(strict):
    log = ScanLog()
    assert row_of(line_of([1], y=10), encoding(limits={1: (0, 4, 11)}), log, strict=strict) is None
    assert "kspace_encode_step_1 = 10" in log.problems[0]


@pytest.mark.slow
@given(
    n=st.integers(2, 24), data=st.data(), reverse=st.booleans(), discard=st.tuples(st.integers(0, 3), st.integers(0, 3))
)
def test_every_measured_sample_lies_at_its_place_around_the_echo(n, data, reverse, discard):
    """Lines of n samples or fewer, one more than the grid has at one of its ends, in samples that know their k."""
    first = -data.draw(st.integers(1, n // 2 + 1))
    last = data.draw(st.integers(1, min(n - n // 2 + 1, n + first)) if n + first > 0 else st.just(1))
    stored = np.arange(first, last)[:: -1 if reverse else 1]
    measured = stored[discard[0] : len(stored) - discard[1]]
    columns = sorted(c for c in measured + n // 2 if 0 <= c < n)
    echo = int(np.argmax(stored == 0))
    assume(sum(discard) < len(stored) <= n and echo > 0 and columns)  # 0 is no place of an echo
    placed = readout_of(line_of(100 + stored, echo=echo, reverse=reverse, discard=discard)).on_grid(n, ScanLog())
    assert list(range(placed.pre, n - placed.post)) == columns
    np.testing.assert_array_equal(placed.samples[0, columns].real, 100 + np.array(columns) - n // 2)
    assert placed.echo == n // 2


ECHOES = {
    "full": ([-4, -3, -2, -1, 0, 1, 2, 3], {}),
    "asymmetric, beginning missing": ([-2, -1, 0, 1, 2, 3], {}),
    "asymmetric, end missing": ([-4, -3, -2, -1, 0, 1], {}),
    "reversed": ([3, 2, 1, 0, -1, -2, -3, -4], {"reverse": True}),
    "reversed, echo at the same sample as forwards": ([4, 3, 2, 1, 0, -1, -2, -3], {"reverse": True}),
    "reversed and asymmetric": ([3, 2, 1, 0, -1, -2], {"reverse": True}),
    "reversed and asymmetric at the other end": ([1, 0, -1, -2, -3, -4], {"reverse": True}),
    "early echo of a whole line": ([-3, -2, -1, 0, 1, 2, 3, 4], {}),
    "late echo of a whole line": ([-5, -4, -3, -2, -1, 0, 1, 2], {}),
    "discarded": ([-4, -3, -2, -1, 0, 1, 2, 3], {"discard": (2, 1)}),
    "reversed and discarded": ([3, 2, 1, 0, -1, -2, -3, -4], {"reverse": True, "discard": (1, 2)}),
    "echo not set": ([-4, -3, -2, -1, 0, 1, 2, 3], {"echo": 0}),
    "echo outside the line": ([-4, -3, -2, -1, 0, 1, 2, 3], {"echo": 12}),
}


def by_lines(lines, context):
    return list(Accumulator()(lines, context))


def by_bucket(lines, context):
    buckets = STOCK_GADGETS["AcquisitionAccumulateTriggerGadget"]({})(lines, context)
    return [item for bucket in buckets for item in slices_from_bucket(bucket, context)]


def by_buffer(lines, context):
    buckets = STOCK_GADGETS["AcquisitionAccumulateTriggerGadget"]({})(lines, context)
    return [
        item
        for data in STOCK_GADGETS["BucketToBufferGadget"]({})(buckets, context)
        for item in slices_from_recon_data(data, context)
    ]


@pytest.mark.parametrize("way", [by_lines, by_bucket, by_buffer])
@pytest.mark.parametrize("case", ECHOES)
def test_the_echo_is_dc_whichever_way_lines_come(scan_header, case, way):
    k, how = ECHOES[case]
    lines = [line_of(10 + np.array(k), **{"echo": k.index(0), **how}, y=y) for y in range(4)]
    context = Context(scan_header((8, 4, 1)))
    (item,) = way(lines, context)
    pre, post = how.get("discard", (0, 0))
    measured = {c + 4 for c in k[pre : len(k) - post] if -4 <= c < 4}
    expected = [6 + c if c in measured else 0 for c in range(8)]
    np.testing.assert_array_equal(item.kspace[0, 0].real, [expected] * 4)
    np.testing.assert_array_equal(item.counts[0], [[float(c in measured) for c in range(8)]] * 4)
    assert context.log.problems == []


def test_an_echo_at_the_middle_leaves_the_line_as_it_is():
    readout = readout_of(line_of(range(8)))
    assert readout.on_grid(8, ScanLog()) is readout


def test_an_echo_far_off_the_middle_of_a_whole_line_is_told_once():
    log = ScanLog()
    readout_of(line_of(range(32), echo=20)).on_grid(32, log)
    assert log.problems == []
    for _ in range(3):
        assert readout_of(line_of(range(16), echo=11)).on_grid(16, log).samples[0, 8] == 11
    assert log.counts["lines with their echo far off the middle"] == 3
    assert len(log.problems) == 1
    assert "16 samples has its echo at 11" in log.problems[0]


@pytest.mark.parametrize(
    ("n", "echo", "discard", "message"),
    [
        (9, 4, (0, 0), "9 samples, more than the encoded matrix of 8"),
        (7, 1, (0, 0), "7 samples, with the echo at 1"),
        (7, 1, (0, 2), None),
        (6, 5, (1, 0), None),
        (10, 5, (1, 1), None),
        (8, 4, (4, 4), "no samples that count"),
    ],
)
def test_only_measured_samples_have_to_fit(n, echo, discard, message):
    readout, grid = readout_of(line_of(range(n), echo=echo, discard=discard)), new_grid(1, encoding(), 8)
    if message is None:
        add_readout(grid, readout, (0, 0), ScanLog())
        assert grid.counts.sum() == n - sum(discard)
        return
    with pytest.raises(ScanError, match=f"line 0.*{message}"):
        add_readout(grid, readout, (0, 0), ScanLog())


@pytest.mark.parametrize(
    ("n", "echo", "width"),
    [(48, 24, 48), (24, 12, 24), (24, 11, 24), (18, 6, 24), (18, 12, 24), (36, 12, 48), (20, 10, 48), (24, 20, 48)],
)
def test_lines_without_oversampling_are_known_by_a_whole_side(n, echo, width):
    assert grid_width(readout_of(line_of(range(n), echo=echo)), encoding(n_x=48, n_kept=24)) == width


def test_the_nearest_row_is_the_first_of_the_nearest():
    assert nearest([(0, 9), (3, 4), (4, 3), (4, 5)], (4, 4)) == 1
    assert nearest([(0, 2), (1, 1), (2, 0)], (0, 0)) == 1  # not as many steps as along the axes


@pytest.mark.parametrize(
    ("n_e0", "limit", "expected"),
    [
        (8, SamplingLimit(0, 4, 7), (8, 0, (0, 8))),
        (8, SamplingLimit(2, 4, 7), (8, 0, (2, 8))),
        (6, SamplingLimit(2, 4, 7), (8, 2, (0, 6))),  # its limits speak of the whole line
        (8, SamplingLimit(0, 3, 6), (8, 1, (0, 7))),
    ],
)
def test_columns_of_a_buffer(n_e0, limit, expected):
    assert buffer_columns(n_e0, limit) == expected


@given(n_y=SIZES, n_z=SIZES, start=st.tuples(st.integers(0, 5), st.integers(0, 5)))
def test_dc_of_an_array_that_starts_at_any_index_is_where_the_central_index_lies(n_y, n_z, start):
    coding = encoding(n_y=n_y, n_z=n_z)
    entry = (4, 2)
    line = line_of([1], y=start[0] + entry[0], z=start[1] + entry[1])
    centre = centre_by_index(entry, line, coding)
    assert (start[0] + centre[0], start[1] + centre[1]) == (n_y // 2, n_z // 2)


@pytest.mark.parametrize(("n", "discard", "expected"), [(6, (0, 0), 6), (6, (2, 1), 3), (6, (4, 4), 0), (0, (0, 0), 0)])
def test_samples_that_count_are_those_outside_the_discard_ranges(n, discard, expected):
    assert n_counting(line_of(np.zeros(n), discard=discard)) == expected
