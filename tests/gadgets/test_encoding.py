from types import SimpleNamespace

import pytest

from nilatron.gadgets.encoding import (
    Limit,
    calibration_mode,
    encoding_limit,
    encoding_of,
    has_separate_calibration,
    kept_width,
    last_average,
    trajectory_of,
)
from nilatron.gadgets.items import ScanError


def encoding(**limits):
    counters = {name: SimpleNamespace(minimum=a, center=c, maximum=b) for name, (a, c, b) in limits.items()}
    return SimpleNamespace(encodingLimits=SimpleNamespace(average=None, **counters), parallelImaging=None)


def test_encoding_of_a_line(scan_header):
    header = scan_header((8, 8, 1))
    assert encoding_of(header, 0) is header.encoding[0]
    with pytest.raises(ScanError, match="encoding space 1, but the header describes 1"):
        encoding_of(header, 1)


def test_a_trajectory_off_the_grid_is_refused(scan_header):
    header = scan_header((8, 8, 1))
    header.encoding[0].trajectory = "radial"
    with pytest.raises(ScanError, match="trajectory 'radial' of encoding 0 is not on a grid"):
        encoding_of(header, 0)


def test_a_trajectory_that_is_not_named_is_cartesian(scan_header):
    header = scan_header((8, 8, 1))
    assert trajectory_of(header.encoding[0]) == "cartesian"
    header.encoding[0].trajectory = None
    assert trajectory_of(encoding_of(header, 0)) == "cartesian"


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ((0, 32, 63), Limit(0, 32, 63)),
        ((0, 16, 47), Limit(0, 16, 47)),
        ((0, 0, 63), Limit(0, 32, 63)),
        ((0, 0, 20), Limit(0, 0, 20)),
    ],
)
def test_a_centre_that_was_not_set_is_half_the_matrix(given, found):
    assert encoding_limit(encoding(kspace_encoding_step_1=given), 1, 64) == found


def test_absent_limits_are_none_and_absent_modes_embedded():
    bare = encoding()
    assert encoding_limit(bare, 1, 64) is None
    assert calibration_mode(bare) == "embedded"
    assert last_average(bare) == 0
    bare.parallelImaging = SimpleNamespace(calibrationMode=SimpleNamespace(value="SEPARATE"))
    assert calibration_mode(bare) == "separate"
    bare.encodingLimits = None
    assert last_average(bare) == 0
    assert encoding_limit(bare, 2, 1) is None


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("separate", True), ("external", True), ("embedded", False), ("interleaved", False), (None, False)],
)
def test_calibration_of_another_scan(scan_header, mode, expected):
    assert has_separate_calibration(scan_header((8, 8, 1), mode=mode).encoding[0]) is expected


@pytest.mark.parametrize(("encoded", "recon", "kept"), [(48, 24, 24), (48, 48, 48), (62, 48, 48), (24, 48, 24)])
def test_readouts_keep_the_field_of_view_of_the_recon_space(scan_header, encoded, recon, kept):
    assert kept_width(scan_header((encoded, 8, 1), (recon, 8, 1)).encoding[0]) == kept
