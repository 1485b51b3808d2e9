"""Patient and study of the images: nobody, in the study of the header; or those of a reference file of the archive."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from nilatron.pipelines.archive.acquisition import plain, set_study, value_at
from nilatron.pipelines.archive.identity import RunIdentity, checked_uid, is_uid, uid
from nilatron.pipelines.files.atomic import InputError

NOBODY, NOBODYS_NAME = "anonymous", "anonymous^"  # a name has at least two parts
EMPTY = (  # where they are not known
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)
TAKEN = (  # from a reference file, where it has them
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "OtherPatientIDs",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "StudyDescription",
    "AccessionNumber",
    "ReferringPhysicianName",
)
NEEDED = ("PatientID", "StudyInstanceUID")
MAX_VALUE, MAX_BYTES = 1024, 64 << 20  # characters of one value, bytes in front of the pixels
MALFORMED = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    EOFError,
    struct.error,
    RecursionError,
    NotImplementedError,
    MemoryError,
)


@dataclass(frozen=True)
class Study:
    """Whom the images belong to.

    Attributes
    ----------
    header
        Parsed ISMRMRD header.
    study_uid, frame_uid
        Of the study, and of the patient coordinates.
    reference
        DICOM object whose patient and study are taken; None: nobody's.
    """

    header: Any
    study_uid: str
    frame_uid: str
    reference: Any = None

    def describe(self, data: Any) -> None:
        """Set patient, study and frame of reference of a DICOM object."""
        data.SpecificCharacterSet = "ISO_IR 192"
        for name in EMPTY:
            setattr(data, name, "")
        if self.reference is None:
            data.PatientName, data.PatientID = NOBODYS_NAME, NOBODY
            set_study(data, self.header)
        else:
            for name in TAKEN:
                if name in self.reference:
                    setattr(data, name, self.reference[name].value)
        data.StudyInstanceUID = self.study_uid
        data.FrameOfReferenceUID, data.PositionReferenceIndicator = self.frame_uid, ""


def study_of(header: Any, identity: RunIdentity, study_uid: str | None = None, like: Path | None = None) -> Study:
    """The study that the user names, that of the reference file, that of the header, or one of the raw file's own.

    Raises
    ------
    InputError
        When the user names a study that is none, or two; or the reference file cannot be used.
    """
    if study_uid is not None and like is not None:
        raise InputError("--like takes the study of its file, --study-uid names another: give one of them")
    reference = None if like is None else read_reference(like)
    stated = study_uid if reference is None else str(reference.StudyInstanceUID)
    if stated is not None:
        checked_uid(stated)
    return Study(
        header,
        stated or _stated(header, "studyInformation", "studyInstanceUID") or uid("study", identity.raw_sha256),
        _stated(header, "measurementInformation", "frameOfReferenceUID") or uid("frame", identity.raw_sha256),
        reference,
    )


def read_reference(path: Path) -> Any:
    """Patient and study of a DICOM file, in values without anything that is not printed.

    Raises
    ------
    InputError
        When it cannot be read, or names no patient or study.
    """
    from pydicom.dataset import Dataset
    from pydicom.errors import BytesLengthException, InvalidDicomError

    found = Dataset()
    try:
        data = _without_pixels(path)
        for name in TAKEN:
            if name in data:
                setattr(found, name, _printed(data[name]))
    except (OSError, InvalidDicomError, BytesLengthException, *MALFORMED) as error:
        raise InputError(f"{path}: expected a DICOM file whose patient and study are taken: {error}") from error
    missing = [name for name in NEEDED if not found.get(name)]
    if missing:
        raise InputError(f"{path} has no {' and no '.join(missing)}: give a DICOM file of the patient's study")
    return found


def _without_pixels(path: Path) -> Any:
    import pydicom
    from pydicom.filereader import read_file_meta_info
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    if read_file_meta_info(path).get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        raise InputError("it is compressed as a whole, and its size is not known before it is read")
    with path.open("rb") as file:
        begin = BytesIO(file.read(MAX_BYTES))  # a file would take memory for every length that is stated
    return pydicom.dcmread(begin, stop_before_pixels=True)


def _printed(element: Any) -> str | list[str]:
    """Value of a DICOM element; a list where it has several."""
    if element.VM > 1:
        return [plain(str(value), MAX_VALUE) for value in element.value]
    return "" if element.value is None else plain(str(element.value), MAX_VALUE)


def _stated(header: Any, *path: str) -> str | None:
    """An identifier that the header states; None where it states none, or something else."""
    found = str(value_at(header, *path) or "").strip()
    return found if is_uid(found) else None
