import ismrmrd
import numpy as np
import pytest

from nilatron.gadgets.placement import ImageKey
from nilatron.gadgets.plan.upcoming import upcoming_of

ONLY, BOTH = ismrmrd.ACQ_IS_PARALLEL_CALIBRATION, ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING


def heads(*lines):
    table = np.zeros(len(lines), ismrmrd.hdf5.acquisition_header_dtype)
    for row, (flags, counters) in zip(table, lines, strict=True):
        row["flags"] = sum(1 << (flag - 1) for flag in flags)
        row["encoding_space_ref"] = counters.get("encoding", 0)
        for name, value in counters.items():
            if name != "encoding":
                row["idx"][name] = value
    return table


LINES = (
    ((ismrmrd.ACQ_IS_NOISE_MEASUREMENT,), {}),
    ((ismrmrd.ACQ_IS_NAVIGATION_DATA,), {}),
    ((ONLY,), {"slice": 1}),
    ((BOTH,), {"slice": 1}),
    ((), {"slice": 1}),
    ((), {"slice": 1, "repetition": 2}),
    ((), {"slice": 1, "segment": 3, "average": 2, "kspace_encode_step_1": 9}),
    ((), {"encoding": 4}),
)


@pytest.mark.parametrize(
    ("mode", "imaging", "calibration"), [("embedded", 4, 0), ("separate", 3, 2), ("external", 3, 2)]
)
def test_every_line_is_counted_for_what_it_is(scan_header, mode, imaging, calibration):
    found = upcoming_of(scan_header((12, 16, 1), mode=mode), heads(*LINES))
    key = ImageKey(0, 1, 0, 0, 0, 0)
    assert found.imaging == {key: imaging, key._replace(repetition=2): 1}
    assert found.calibration == ({1: calibration} if calibration else {})


def test_no_lines_are_nothing(scan_header):
    found = upcoming_of(scan_header((12, 16, 1)), heads())
    assert not found.imaging
    assert not found.calibration


def test_an_image_has_the_channels_of_most_of_its_lines(scan_header):
    table = heads(*[((), {"slice": number // 3}) for number in range(6)], ((ONLY,), {"slice": 1}))
    table["active_channels"] = [4, 6, 6, 2, 2, 2, 9]
    found = upcoming_of(scan_header((12, 16, 1), mode="separate"), table)
    assert {key.slice: number for key, number in found.channels.items()} == {0: 6, 1: 2}
