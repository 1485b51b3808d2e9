import ismrmrd.hdf5
import ismrmrd.xsd as xsd
import numpy as np
import pytest

from nilatron.gadgets.plan.together import are_apart, mixed

N_Y = 8


def heads_of(times, **counters):
    heads = np.zeros(times * N_Y, ismrmrd.hdf5.acquisition_header_dtype)
    heads["idx"]["kspace_encode_step_1"] = np.tile(np.arange(N_Y), times)
    for name, values in counters.items():
        heads["idx"][name] = np.repeat(values, N_Y)
    return heads


@pytest.fixture
def header(scan_header):
    """Two echoes by the header."""
    made = scan_header((8, N_Y, 1))
    made.encoding[0].encodingLimits.contrast = xsd.limitType(minimum=0, maximum=1, center=0)
    return made


def test_echoes_that_no_line_counts_are_mixed(header):
    (said,) = mixed(header, heads_of(2))
    assert "every line came 2 times" in said
    assert "announces 2 values of contrast" in said


@pytest.mark.parametrize(
    "heads",
    [
        heads_of(1),  # the second echo did not come
        heads_of(3),  # averages
        heads_of(2, contrast=[0, 1]),
        heads_of(2, average=[0, 1]),
        heads_of(2, segment=[0, 1]),
        heads_of(2)[:-1],
    ],
    ids=str,
)
def test_nothing_is_mixed_where_counters_tell_or_the_number_is_another(header, heads):
    assert list(mixed(header, heads)) == []


@pytest.mark.parametrize("is_limited", [True, False])
def test_lines_that_come_twice_are_averages_where_nothing_else_is_announced(scan_header, is_limited):
    header = scan_header((8, N_Y, 1))
    if not is_limited:
        header.encoding[0].encodingLimits = None
    assert list(mixed(header, heads_of(2))) == []


@pytest.mark.parametrize(
    ("position", "thickness_mm", "expected"),
    [
        ((0, 0, 6), 5, True),
        ((0, 0, -6), 5, True),
        ((0, 0, 2), 5, False),
        ((40, -30, 0), 5, False),
        ((0, 0, 6), 0, False),
        ((0, 0, float("nan")), 5, False),
    ],
)
def test_lines_are_apart_by_more_than_a_slice_across_it(header, make_line, position, thickness_mm, expected):
    header.encoding[0].encodedSpace.fieldOfView_mm.z = thickness_mm
    one, other = (make_line(np.zeros((1, 8))) for _ in range(2))
    for line in (one, other):
        line.slice_dir[:] = (0, 0, 1)
    one.position[:] = position
    assert are_apart(one, other.getHead(), header.encoding[0]) == expected
