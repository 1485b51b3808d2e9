import math
from types import SimpleNamespace

import pytest

from nilatron.pipelines.archive.acquisition import code_string, number, one_of, plain, set_time

pydicom = pytest.importorskip("pydicom")


@pytest.mark.parametrize(("contrast", "echo_ms"), [(0, 12.5), (1, 80.0)])
def test_sequence_scanner_and_dates_are_those_of_the_header(image, datasets, contrast, echo_ms):
    (data,) = datasets(image(contrast=contrast))
    assert (data.EchoTime, data.EchoNumbers) == (echo_ms, contrast + 1)
    assert (data.RepetitionTime, data.InversionTime, data.FlipAngle) == (3000, 900, 150)
    assert (data.MagneticFieldStrength, data.ImagingFrequency) == (1.494, 63.6)
    assert (data.ProtocolName, data.SequenceName) == ("t2_tse tra", "tse")
    assert (data.StudyDate, data.StudyTime, data.SeriesDate, data.SeriesTime) == (
        "20250304",
        "050607",
        "20250305",
        "080910",
    )
    assert (data.StudyDescription, data.BodyPartExamined, data.PatientPosition) == ("Schädel", "HEAD", "HFS")


def test_nothing_is_made_up_where_the_header_says_nothing(image, datasets, bare_header):
    (data,) = datasets(image(), header=bare_header)
    absent = ("InversionTime", "FlipAngle", "MagneticFieldStrength", "ImagingFrequency", "ProtocolName", "SequenceName")
    absent += ("SeriesDate", "SeriesTime", "StudyDescription", "BodyPartExamined", "AcquisitionTime", "InstitutionName")
    assert [name for name in absent if name in data] == []
    assert (data.EchoTime, data.RepetitionTime, data.StudyDate, data.PatientPosition) == (None, None, "", "")


@pytest.mark.parametrize(("part", "has_sides"), [("knee", True), ("HEAD", False), (None, True)])
def test_parts_of_the_body_with_one_side_have_no_laterality(image, datasets, header, part, has_sides):
    header.studyInformation.bodyPartExamined = part
    (data,) = datasets(image(), header=header)
    assert ("Laterality" in data) == has_sides


@pytest.mark.parametrize(
    ("vendor", "stamp", "time"),
    [
        ("SIEMENS", 400 * (3600 * 13 + 60 * 5 + 9) + 399, "130509.9975"),
        ("Siemens Healthineers", 400 * 86399, "235959.0000"),
        ("SIEMENS", 0, None),
        ("SIEMENS", 400 * 86400, None),
        ("GE MEDICAL SYSTEMS", 400 * 3600, None),
    ],
)
def test_time_stamps_are_times_of_day_where_their_unit_is_known(header, vendor, stamp, time):
    header.acquisitionSystemInformation.systemVendor = vendor
    data = pydicom.Dataset()
    set_time(data, header, SimpleNamespace(repetition=2, acquisition_time_stamp=stamp))
    assert data.get("AcquisitionTime") == time
    assert (data.AcquisitionNumber, data.TemporalPositionIdentifier, data.NumberOfTemporalPositions) == (3, 3, 3)


def test_one_value_counts_for_all_contrasts_and_a_missing_one_for_none():
    assert [one_of(values, 1) for values in ([5.0], [5.0, 6.0], [5.0, 6.0, 7.0], [], None)] == [5, 6, 6, None, None]
    assert one_of([5.0, 6.0], 2) is None


def test_texts_hold_one_value_without_control_characters_and_numbers_are_short():
    assert plain("a\\b\n\tc \x07d") == "a b c d"
    assert plain("x" * 63 + " y") == "x" * 63
    assert [number(value) for value in (None, math.nan, math.inf, 0.0, 1 / 3)] == ["", "", "", "0", "0.333333333"]
    assert code_string("Knee (links), 2 x") == "KNEE LINKS 2 X"
    assert number(-1.0, is_positive=True) == ""
