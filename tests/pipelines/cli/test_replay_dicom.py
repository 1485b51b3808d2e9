"""`nilatron replay` with DICOM files, and their way into an archive."""

import socket
from functools import partial

import h5py
import pytest

from nilatron.pipelines.archive.send import SendSettings, send
from nilatron.pipelines.replay import run

pydicom = pytest.importorskip("pydicom")
pytest.importorskip("highdicom")
pytestmark = pytest.mark.slow
STUDY = "1.2.840.77.5"


@pytest.fixture
def exported(command, raw, folder):
    """Run a chain without a network with a DICOM folder; code, stdout, stderr and the objects."""

    def run(*words):
        to = ("-o", folder / "out.h5", "-G", "images", "-c", "zero_filled", "--dicom", folder / "dicom")
        done = command("replay", raw, *to, "--overwrite", *words)
        return *done, [pydicom.dcmread(path) for path in sorted((folder / "dicom").glob("*.dcm"))]

    return run


@pytest.fixture
def archive(monkeypatch):
    """Start a server whose first answers are given; its address. The program does not wait between tries."""
    pytest.importorskip("pynetdicom")
    monkeypatch.setattr(run, "send", partial(send, settings=SendSettings(silence_s=5), sleep=lambda _: None))
    made = []

    def start(*statuses):
        from pynetdicom import AE, AllStoragePresentationContexts, evt

        answers = list(statuses)
        entity = AE(ae_title="PACS")
        entity.supported_contexts = AllStoragePresentationContexts
        handlers = [(evt.EVT_C_STORE, lambda _: answers.pop(0) if answers else 0)]
        made.append(entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers))
        return f"PACS@127.0.0.1:{made[-1].server_address[1]}"

    yield start
    for each in made:
        each.shutdown()


def test_study_and_series_numbers_are_those_of_the_options(exported):
    code, _, err, stack = exported("--study-uid", STUDY, "--series-offset", "300")
    assert (code, err) == (0, "")
    assert [(data.StudyInstanceUID, data.SeriesNumber, data.InstanceNumber) for data in stack] == [
        (STUDY, 301, 1),
        (STUDY, 301, 2),
    ]


def test_patient_and_study_of_another_file(exported, tmp_path):
    reference = exported()[3][0]
    reference.PatientName, reference.PatientID, reference.StudyInstanceUID = "Doe^Jane", "0815", STUDY
    reference.save_as(tmp_path / "reference.dcm")
    *_, stack = exported("--like", tmp_path / "reference.dcm")
    assert {(str(d.PatientName), d.PatientID, d.StudyInstanceUID) for d in stack} == {("Doe^Jane", "0815", STUDY)}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--study-uid", "today"], "expected a DICOM UID"),
        (["--like", "absent.dcm"], "expected a DICOM file whose patient and study are taken"),
        (["--send", "localhost:104"], "expected an archive AET@HOST:PORT such as ORTHANC@localhost:4242"),
    ],
)
def test_what_cannot_be_used_is_told_before_anything_is_written(exported, folder, one_line, words, said):
    code, _, err, _ = exported(*words)
    assert code == 2
    assert said in one_line(err)
    assert list(folder.iterdir()) == []


def test_sending_needs_a_folder_that_keeps_the_files(command, raw, folder, one_line):
    code, _, err = command("replay", raw, "-o", folder / "out.h5", "-c", "zero_filled", "--send", "PACS@localhost:104")
    assert code == 2
    assert "--dicom DIR" in one_line(err)
    assert list(folder.iterdir()) == []


def test_files_that_are_stored_are_told(exported, archive):
    address = archive(0xA700)
    code, out, _, _ = exported("--send", address)
    assert code == 0
    assert out.splitlines()[1] == f"2 of 2 DICOM files stored by {address}"


def test_files_that_are_not_stored_are_exit_code_4_and_kept(exported, archive, folder, one_line):
    address = archive(0, 0xC000)
    code, out, err, stack = exported("--send", address)
    assert code == 4
    assert out.startswith("2 images to ")
    told = one_line(err)
    assert f"1 of 2 DICOM files stored by {address}" in told
    assert "series001_0002.dcm: the archive refuses it (status 0xC000)" in told
    assert told.endswith(f"all files are in {folder / 'dicom'}")
    assert len(stack) == 2
    assert (folder / "out.h5").is_file()


def test_a_run_that_is_not_complete_tells_what_was_not_stored_as_well(exported, archive, raw, one_line):
    with h5py.File(raw, "r+") as file:
        rows = file["dataset/data"][:]
        rows["head"]["read_dir"][rows["head"]["idx"]["slice"] == 1] = 0
        file["dataset/data"][:] = rows
    address = archive(0xC000)
    code, _, err, stack = exported("--send", address)
    assert (code, len(stack)) == (3, 1)
    assert "1 image could not be written: DICOM needs directions" in one_line(err)
    assert f"0 of 1 DICOM files stored by {address}" in one_line(err)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # sockets that pynetdicom leaks
def test_an_archive_that_is_not_there(exported, archive, one_line):
    del archive
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        address = f"PACS@127.0.0.1:{sock.getsockname()[1]}"
    code, _, err, stack = exported("--send", address)
    assert code == 4
    assert f"0 of 2 DICOM files stored by {address} after 4 tries" in one_line(err)
    assert len(stack) == 2
