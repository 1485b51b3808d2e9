import ismrmrd.hdf5
import ismrmrd.xsd as xsd
import numpy as np
import pytest

from nilatron.gadgets.plan.together import mixed

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
