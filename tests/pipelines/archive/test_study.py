import pytest

from nilatron.pipelines.archive.identity import RunIdentity, is_uid
from nilatron.pipelines.archive.study import study_of
from nilatron.pipelines.files.atomic import InputError

pydicom = pytest.importorskip("pydicom")

STUDY = "1.2.840.77.5"


@pytest.fixture
def reference(tmp_path, image, write):
    """A DICOM file of a patient's study; `changes` are set, None deletes."""

    def make(**changes):
        folder, _ = write(image())
        data = pydicom.dcmread(folder.files[0])
        told = {"PatientName": "Döe^Jane", "PatientID": "0815", "PatientBirthDate": "19700102", "PatientSex": "F"}
        told |= {"PatientWeight": 61.5, "StudyID": "S9", "AccessionNumber": "A7", "StudyInstanceUID": STUDY}
        told |= {"StudyDescription": "MR Schädel", "StudyDate": "20240506", "ReferringPhysicianName": "Röntgen^W"}
        for name, value in (told | changes).items():
            if value is None:
                delattr(data, name)
            else:
                setattr(data, name, value)
        data.save_as(tmp_path / "reference.dcm")
        return tmp_path / "reference.dcm"

    return make


def test_nothing_of_the_patient_is_copied_from_the_header(image, datasets):
    (data,) = datasets(image())
    assert "Jane" not in str(data)
    assert "4711" not in str(data)
    assert (data.PatientID, str(data.PatientName)) == ("anonymous", "anonymous^")


def test_study_and_frame_of_reference_are_those_of_the_header(image, datasets):
    (data,) = datasets(image())
    assert (data.StudyInstanceUID, data.FrameOfReferenceUID) == ("1.2.840.99.1", "1.2.840.99.2")


@pytest.mark.parametrize("stated", [None, "", "not a UID", "1.2.03"])
def test_a_header_without_them_gives_a_study_of_each_raw_file(header, stated):
    header.studyInformation.studyInstanceUID = header.measurementInformation.frameOfReferenceUID = stated
    first, again, other = (
        study_of(header, RunIdentity(raw, {"seed": s})) for raw, s in (("a", "1"), ("a", "2"), ("b", "1"))
    )
    assert (first.study_uid, first.frame_uid) == (again.study_uid, again.frame_uid)
    found = {first.study_uid, first.frame_uid, other.study_uid, other.frame_uid}
    assert len(found) == 4
    assert all(map(is_uid, found))


def test_the_study_that_the_user_names_goes_before_that_of_the_header(image, datasets):
    (data,) = datasets(image(), study_uid=STUDY)
    assert data.StudyInstanceUID == STUDY


def test_patient_and_study_of_a_reference_and_nothing_else_of_it(image, datasets, reference):
    path = reference(SeriesDescription="theirs", Manufacturer="theirs")
    (data,) = datasets(image(), like=path)
    assert (str(data.PatientName), data.PatientID, data.PatientSex, data.PatientWeight) == (
        "Döe^Jane",
        "0815",
        "F",
        61.5,
    )
    assert (data.StudyInstanceUID, data.StudyID, data.AccessionNumber, data.StudyDate) == (
        STUDY,
        "S9",
        "A7",
        "20240506",
    )
    assert (data.StudyDescription, str(data.ReferringPhysicianName)) == ("MR Schädel", "Röntgen^W")
    assert "theirs" not in str(data)


def test_a_reference_in_another_character_set(image, datasets, reference):
    path = reference(SpecificCharacterSet="ISO_IR 100")
    (data,) = datasets(image(), like=path)
    assert str(data.PatientName) == "Döe^Jane"


@pytest.mark.parametrize("name", ["Doe", "", None])
def test_a_reference_whose_name_has_one_part_or_is_empty(image, datasets, reference, name):
    stack = datasets(image(), image(series=101), like=reference(PatientName=name, StudyDate=None))
    assert [(str(data.PatientName), data.PatientID, data.StudyDate) for data in stack] == [(name or "", "0815", "")] * 3


@pytest.mark.parametrize("missing", ["PatientID", "StudyInstanceUID"])
def test_a_reference_without_patient_or_study_is_refused(header, reference, missing):
    with pytest.raises(InputError, match=f"reference.dcm has no {missing}: give a DICOM file of the patient's study"):
        study_of(header, RunIdentity("a", {}), like=reference(**{missing: None}))


def test_a_reference_that_is_no_dicom_file_is_refused(header, tmp_path):
    (tmp_path / "text").write_text("hello" * 100)
    for path in (tmp_path / "text", tmp_path / "absent"):
        with pytest.raises(InputError, match="expected a DICOM file whose patient and study are taken"):
            study_of(header, RunIdentity("a", {}), like=path)


def test_two_studies_or_none_are_refused(header, reference):
    with pytest.raises(InputError, match="give one of them"):
        study_of(header, RunIdentity("a", {}), STUDY, reference())
    with pytest.raises(InputError, match="expected a DICOM UID"):
        study_of(header, RunIdentity("a", {}), "today")


def test_the_same_run_in_another_study_has_other_images(image, datasets, reference):
    """An archive that finds an image in two studies refuses one of them, or moves it."""
    runs = [datasets(image()), datasets(image(), study_uid=STUDY), datasets(image(), like=reference(PatientID="1"))]
    runs.append(datasets(image(), like=reference(PatientID="2")))
    assert len({data.SOPInstanceUID for (data,) in runs}) == len({data.SeriesInstanceUID for (data,) in runs}) == 4


def test_what_is_taken_from_a_reference_is_printed(reference):
    path = reference(PatientName="Doe\x07^Jane", PatientID="08\n15", StudyDescription="a\u202eb")
    found = study_of(None, RunIdentity("raw", {}), like=path).reference
    assert (str(found.PatientName), found.PatientID, found.StudyDescription) == ("Doe ^Jane", "08 15", "a b")


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.1.99"])
def test_a_reference_whose_size_is_not_known_is_refused(tmp_path, reference, syntax):
    data = pydicom.dcmread(reference())
    data.file_meta.TransferSyntaxUID = syntax
    data.save_as(tmp_path / "packed.dcm")
    with pytest.raises(InputError, match="compressed as a whole"):
        study_of(None, RunIdentity("raw", {}), like=tmp_path / "packed.dcm")
