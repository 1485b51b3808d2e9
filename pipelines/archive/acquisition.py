"""What an ISMRMRD header says about study, series, scanner and sequence, as DICOM attributes; nothing about the patient."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

LONG_TEXT, SHORT_TEXT = 64, 16  # characters of DICOM's LO, and of SH and CS
HZ_PER_MHZ = 1e6
TICKS_PER_S = 400  # of the time stamps of Siemens' lines, which count from midnight
DAY_S = 86400
UNPAIRED = (  # body parts in DICOM's words that have no left and right
    "ABDOMEN ABDOMENPELVIS AORTA BLADDER BRAIN CHEST CHESTABDOMEN CHESTABDPELVIS COCCYX COLON CSPINE CTSPINE "
    "ESOPHAGUS FACE GALLBLADDER HEAD HEADNECK HEART JAW LIVER LSPINE LSSPINE NECK NECKCHEST PANCREAS PELVIS "
    "PROSTATE SKULL SPINE SPLEEN SSPINE STERNUM STOMACH THYMUS THYROID TLSPINE TONGUE TSPINE UTERUS WHOLEBODY "
)


def value_at(header: Any, *path: str) -> Any:
    """An element of the header along a path of names; None where any of them is missing."""
    for name in path:
        header = getattr(header, name, None)
    return header


def text_at(header: Any, *path: str, n_max: int = LONG_TEXT) -> str:
    """An element as a text of one value, cut to `n_max` characters; empty where it is missing."""
    found = value_at(header, *path)
    return "" if found is None else plain(str(found), n_max)


def plain(text: str, n_max: int = LONG_TEXT) -> str:
    """A text as one value of a short attribute: without control characters and backslashes, which part values."""
    printable = "".join(c if c.isprintable() and c != "\\" else " " for c in text)
    return " ".join(printable.split())[:n_max].strip()


def code_string(text: str) -> str:
    """A text in the characters that codes may have: capitals, digits, spaces and underscores."""
    return plain(re.sub(r"[^A-Z0-9_]", " ", text.upper()), SHORT_TEXT)


def set_study(data: Any, header: Any) -> None:
    """Set date, time and name of the study, as far as the header has them."""
    data.StudyDate = date_of(value_at(header, "studyInformation", "studyDate"))
    data.StudyTime = time_of(value_at(header, "studyInformation", "studyTime"))
    if name := text_at(header, "studyInformation", "studyDescription"):
        data.StudyDescription = name


def set_series(data: Any, header: Any) -> None:
    """Set what all images of a scan share: date and time, protocol, body part, patient position, field strength."""
    measurement = "measurementInformation"
    texts = {
        "SeriesDate": date_of(value_at(header, measurement, "seriesDate")),
        "SeriesTime": time_of(value_at(header, measurement, "seriesTime")),
        "ProtocolName": text_at(header, measurement, "protocolName"),
        "SequenceName": text_at(header, measurement, "sequenceName", n_max=SHORT_TEXT),
        "BodyPartExamined": code_string(text_at(header, "studyInformation", "bodyPartExamined")),
        "MagneticFieldStrength": number(
            value_at(header, "acquisitionSystemInformation", "systemFieldStrength_T"), is_positive=True
        ),
    }
    for name, text in texts.items():
        if text:
            setattr(data, name, text)
    frequency_hz = value_at(header, "experimentalConditions", "H1resonanceFrequency_Hz")
    if frequency_hz:
        data.ImagingFrequency = number(frequency_hz / HZ_PER_MHZ)
    if data.get("BodyPartExamined") not in UNPAIRED.split():
        data.Laterality = ""  # it has two sides, or may have, and the header does not tell which
    data.PatientPosition = getattr(value_at(header, measurement, "patientPosition"), "value", "")


def set_sequence(data: Any, header: Any, contrast: int) -> None:
    """Set the times and the flip angle of a contrast; times are in ms in both worlds. Echo and repetition time may be empty."""
    found = value_at(header, "sequenceParameters")
    data.EchoTime = number(one_of(value_at(found, "TE"), contrast)) or None
    data.RepetitionTime = number(one_of(value_at(found, "TR"), contrast)) or None
    data.EchoTrainLength, data.EchoNumbers = None, contrast + 1
    data.ScanningSequence, data.SequenceVariant, data.ScanOptions = "RM", "NONE", ""
    if angle := number(one_of(value_at(found, "flipAngle_deg"), contrast)):
        data.FlipAngle = angle
    if inversion := number(one_of(value_at(found, "TI"), contrast), is_positive=True):
        data.InversionTime, data.ScanningSequence = inversion, ["IR", "RM"]


def set_time(data: Any, header: Any, head: Any) -> None:
    """Set which of the repetitions an image is, and the time of its central line where the unit of time stamps is known."""
    repetition = int(head.repetition)
    limits = [value_at(encoding, "encodingLimits", "repetition", "maximum") or 0 for encoding in header.encoding]
    data.AcquisitionNumber = data.TemporalPositionIdentifier = repetition + 1
    data.NumberOfTemporalPositions = max(repetition, *limits) + 1
    seconds, ticks = divmod(int(head.acquisition_time_stamp), TICKS_PER_S)
    vendor = text_at(header, "acquisitionSystemInformation", "systemVendor").lower()
    if vendor.startswith("siemens") and 0 < seconds < DAY_S:
        hours, minutes = seconds // 3600, seconds // 60 % 60
        data.AcquisitionTime = f"{hours:02d}{minutes:02d}{seconds % 60:02d}.{ticks * 10000 // TICKS_PER_S:04d}"


def set_scanner(data: Any, header: Any) -> None:
    """Set maker, model, serial number, institution and station of the scanner, as far as the header has them."""
    system = "acquisitionSystemInformation"
    texts = {
        "Manufacturer": text_at(header, system, "systemVendor"),
        "ManufacturerModelName": text_at(header, system, "systemModel"),
        "DeviceSerialNumber": text_at(header, system, "deviceSerialNumber"),
        "InstitutionName": text_at(header, system, "institutionName"),
        "StationName": text_at(header, system, "stationName", n_max=SHORT_TEXT),
    }
    for name, text in texts.items():
        if text:
            setattr(data, name, text)


def one_of(values: Sequence[float] | None, index: int) -> float | None:
    """The value of an index; the only one for every index; None where it is not there."""
    if not values:
        return None
    if len(values) == 1:
        return values[0]
    return values[index] if index < len(values) else None


def number(value: float | None, *, is_positive: bool = False) -> str:
    """A number as a DICOM text; empty where there is none, or none that makes sense."""
    if value is None or not abs(value) < float("inf") or (is_positive and value <= 0):
        return ""
    return f"{value:.9g}"


def date_of(date: Any) -> str:
    """A date of the header as YYYYMMDD; empty where there is none."""
    return "" if date is None else f"{date.year:04d}{date.month:02d}{date.day:02d}"


def time_of(time: Any) -> str:
    """A time of the header as HHMMSS; empty where there is none."""
    return "" if time is None else f"{time.hour:02d}{time.minute:02d}{time.second:02d}"
