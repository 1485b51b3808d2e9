"""Limits and matrices that lines contradict, and those that they do not."""

import copy
import re

import ismrmrd.hdf5
import numpy as np
import pytest

from nilatron.core.fft import fft
from nilatron.gadgets.accumulate import Accumulator
from nilatron.gadgets.encoding import encoding_limit
from nilatron.gadgets.items import Context, ScanError
from nilatron.gadgets.plan.weighed import weighed_header, widened
from nilatron.gadgets.recon_data import slices_from_bucket
from nilatron.gadgets.stock.types import AcquisitionBucket

N_X, N_Y, N_Z = 16, 24, 6


def heads_of(y, z=(0,)):
    heads = np.zeros(len(y) * len(z), ismrmrd.hdf5.acquisition_header_dtype)
    heads["idx"]["kspace_encode_step_1"] = np.tile(y, len(z))
    heads["idx"]["kspace_encode_step_2"] = np.repeat(z, len(y))
    return heads


def set_limit(header, step, minimum, centre, maximum):
    limit = getattr(header.encoding[0].encodingLimits, f"kspace_encoding_step_{step}")
    limit.minimum, limit.center, limit.maximum = minimum, centre, maximum


def limit_of(header, step):
    matrix = header.encoding[0].encodedSpace.matrixSize
    return tuple(vars(encoding_limit(header.encoding[0], step, matrix.y if step == 1 else matrix.z)).values())


@pytest.mark.parametrize("heads", [None, heads_of(range(N_Y), range(N_Z)), heads_of(range(0, N_Y, 2), range(N_Z))])
def test_a_header_that_agrees_stays_the_object_that_it_is(scan_header, heads):
    header = scan_header((N_X, N_Y, N_Z))
    assert weighed_header(header, heads) is header


@pytest.mark.parametrize("y", [range(2, N_Y), range(N_Y // 4, N_Y), (0, 5)])
def test_lines_that_are_missing_contradict_nothing(scan_header, y):
    header = scan_header((N_X, N_Y, 1))
    assert weighed_header(header, heads_of(y)) is header


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ((0, 0, 0), (0, N_Y // 2, N_Y - 1)),
        ((0, 6, 11), (0, N_Y // 2, N_Y - 1)),
        ((4, 12, 20), (0, N_Y // 2, N_Y - 1)),
        ((0, 12, N_Y - 2), (0, N_Y // 2, N_Y - 1)),
        ((0, N_Y, 2 * N_Y - 1), (0, N_Y // 2, N_Y - 1)),
    ],
)
def test_limits_that_lines_on_the_matrix_contradict_are_those_of_lines_and_matrix(
    scan_header, caplog, limits, expected
):
    header = scan_header((N_X, N_Y, 1))
    set_limit(header, 1, *limits)
    before = copy.deepcopy(header)
    assert limit_of(weighed_header(header, heads_of(range(N_Y))), 1) == expected
    assert header == before
    assert re.search(rf"limits.* {limits[0]} to {limits[2]}|go from 0 to 0", caplog.text)


def test_a_line_off_limits_and_matrix_changes_nothing(scan_header):
    header = scan_header((N_X, N_Y, 1))
    assert weighed_header(header, heads_of([*range(N_Y), 500])) is header


@pytest.mark.parametrize("recon_z", [1, 3])
def test_a_matrix_that_limits_and_lines_contradict_grows(scan_header, recon_z):
    header = scan_header((N_X, N_Y, 1), (N_X, N_Y, recon_z))
    set_limit(header, 2, 0, N_Z // 2, N_Z - 1)
    spaces = weighed_header(header, heads_of(range(N_Y), range(N_Z))).encoding[0]
    assert spaces.encodedSpace.matrixSize.z == N_Z
    assert spaces.reconSpace.matrixSize.z == (N_Z if recon_z == 1 else recon_z)


@pytest.mark.parametrize("has_heads", [True, False])
@pytest.mark.parametrize("has_limits", [True, False])
def test_a_matrix_that_counts_slices_along_z_is_that_of_slices(scan_header, has_heads, has_limits):
    """Without limits and without lines nothing speaks against a volume."""
    header = scan_header((N_X, N_Y, N_Z))
    set_limit(header, 2, 0, 0, 0)
    if not has_limits:
        header.encoding[0].encodingLimits.kspace_encoding_step_2 = None
    found = weighed_header(header, heads_of(range(N_Y)) if has_heads else None)
    expected = 1 if has_heads or has_limits else N_Z
    assert found.encoding[0].encodedSpace.matrixSize.z == found.encoding[0].reconSpace.matrixSize.z == expected


def test_limits_of_one_partition_give_way_to_lines_of_many(scan_header):
    header = scan_header((N_X, N_Y, N_Z))
    set_limit(header, 2, 0, 0, 0)
    assert limit_of(weighed_header(header, heads_of(range(N_Y), range(N_Z))), 2) == (0, N_Z // 2, N_Z - 1)


@pytest.mark.parametrize(("index", "rows"), [(0, 0), (11, 0), (12, -6), (23, -6), (24, 0)])
def test_a_line_beyond_the_limits_moves_those_before_it_unless_it_is_off_the_matrix(scan_header, index, rows):
    header = scan_header((N_X, N_Y, 1), y_limits=(0, 6, 11))
    assert widened(header.encoding[0], 1, index) == rows
    assert limit_of(header, 1) == ((0, 6, 11) if rows == 0 else (0, N_Y // 2, index))


@pytest.fixture
def object_lines(make_line):
    """Lines (coil, x) of an object in one piece, all of N_Y, and its k-space."""
    y, x = np.meshgrid(np.arange(N_Y) - N_Y // 2, np.arange(N_X) - N_X // 2, indexing="ij")
    image = np.exp(-((y / 6) ** 2) - (x / 4) ** 2)[None] * np.array([1, 1j])[:, None, None]
    kspace = fft(image.astype(np.complex64), axes=(-2, -1))
    return [make_line(kspace[:, row], y=row) for row in range(N_Y)], kspace


@pytest.mark.parametrize("limits", [(0, 6, 11), (0, 12, 22), (3, 12, 23)])
def test_a_stream_revises_stale_limits_as_lines_come(scan_header, object_lines, limits):
    lines, kspace = object_lines
    context = Context(scan_header((N_X, N_Y, 1), y_limits=limits))
    (item,) = Accumulator()(iter(lines), context)
    np.testing.assert_allclose(item.kspace[:, 0], kspace, atol=1e-6)


@pytest.mark.parametrize("limits", [(4, 14, 22), (0, 2, 11)])
def test_lines_stay_where_they_are_to_each_other(scan_header, make_line, limits):
    context = Context(scan_header((N_X, N_Y, 1), y_limits=limits))
    steps = [limits[0], limits[0] + 1, N_Y - 1]
    lines = [make_line(np.ones((2, N_X)), y=y) for y in steps]
    (item,) = Accumulator()(iter(lines), context)
    assert np.flatnonzero(item.counts[0, :, 0]).tolist() == steps


def test_a_line_off_limits_and_matrix_is_refused(scan_header, make_line):
    context = Context(scan_header((N_X, N_Y, 1), y_limits=(0, 6, 11)))
    with pytest.raises(ScanError, match=r"kspace_encode_step_1 = 99, outside the header's limits 0 to 11.*grid of 24"):
        list(Accumulator()(iter([make_line(np.ones((2, N_X)), y=y) for y in (0, 99)]), context))


@pytest.mark.parametrize("limits", [(0, 6, 11), (0, 4, 23)])
def test_buckets_are_centred_as_lines_are(scan_header, object_lines, limits):
    """By stale limits the centre would lie at the fourth or sixth line; only a centre far off is told from the data."""
    lines, kspace = object_lines
    context = Context(scan_header((N_X, N_Y, 1), y_limits=limits))
    chosen = lines if limits[2] == 11 else lines[: N_Y - 8]  # some room for moving
    (item,) = slices_from_bucket(AcquisitionBucket(data=chosen, ref=[], waveforms=[]), context)
    np.testing.assert_allclose(item.kspace[:, 0, : len(chosen)], kspace[:, : len(chosen)], atol=1e-6)


@pytest.mark.parametrize(
    ("first", "n", "expected"), [(4, N_Y, (4, 16, 27)), (30, N_Y, (30, 42, 53)), (10, 20, (10, 20, 29))]
)
@pytest.mark.parametrize("has_limits", [True, False])
def test_lines_counted_from_anywhere_lie_on_the_matrix_where_no_limit_says_otherwise(
    scan_header, first, n, expected, has_limits
):
    header = scan_header((N_X, N_Y, 1))
    if has_limits:
        header.encoding[0].encodingLimits.kspace_encoding_step_1 = None
    else:
        header.encoding[0].encodingLimits = None
    assert limit_of(weighed_header(header, heads_of(range(first, first + n))), 1) == expected


@pytest.mark.parametrize(
    ("centre", "taken"), [(N_Y // 2, None), (N_Y // 2 - 1, None), (9, N_Y // 2), (N_Y - 1, N_Y // 2)]
)
@pytest.mark.parametrize("heads", [None, heads_of(range(N_Y))])
def test_limits_that_fill_the_matrix_have_its_centre(scan_header, centre, taken, heads):
    header = scan_header((N_X, N_Y, 1))
    set_limit(header, 1, 0, centre, N_Y - 1)
    found = weighed_header(header, heads)
    assert (found is header) == (taken is None)
    assert limit_of(found, 1) == (0, centre if taken is None else taken, N_Y - 1)


def test_limits_of_the_matrix_in_a_partial_fourier_scan_that_counts_its_own_lines(scan_header):
    header = scan_header((N_X, N_Y, 1))
    set_limit(header, 1, 0, N_Y // 4, N_Y - 1)
    assert weighed_header(header, heads_of(range(3 * N_Y // 4))) is header


@pytest.mark.parametrize(
    ("recon", "taken"),
    [
        ((1, 60.0), (N_Z, 60.0)),
        ((1, 10.0), (N_Z, 60.0)),
        ((N_Z, 10.0), (N_Z, 60.0)),
        ((1, 40.0), (4, 40.0)),
        ((4, 40.0), (4, 40.0)),
        ((2 * N_Z, 60.0), (2 * N_Z, 60.0)),
        ((N_Z, 60.0), (N_Z, 60.0)),
    ],
)
@pytest.mark.parametrize("heads", [None, heads_of(range(N_Y), range(N_Z))])
def test_a_volume_is_not_reconstructed_to_one_slice(scan_header, recon, taken, heads):
    header = scan_header((N_X, N_Y, N_Z))
    encoding = header.encoding[0]
    encoding.reconSpace = copy.deepcopy(encoding.encodedSpace)
    encoding.encodedSpace.fieldOfView_mm.z = 60.0
    encoding.reconSpace.matrixSize.z, encoding.reconSpace.fieldOfView_mm.z = recon
    found = weighed_header(header, heads)
    space = found.encoding[0].reconSpace
    assert (space.matrixSize.z, space.fieldOfView_mm.z) == taken
    assert (found is header) == (recon == taken)


def test_one_slice_of_a_stack_stays_one(scan_header):
    header = scan_header((N_X, N_Y, 1))
    header.encoding[0].reconSpace = copy.deepcopy(header.encoding[0].encodedSpace)
    header.encoding[0].reconSpace.fieldOfView_mm.z = 1.0
    assert weighed_header(header, heads_of(range(N_Y))) is header
