import json
import logging
import shutil
import socket
import subprocess
import time
import urllib.request

import pytest

from nilatron.pipelines.archive.send import Archive, SendSettings, parse_archive, send
from nilatron.pipelines.files.atomic import InputError

pytest.importorskip("pynetdicom")
pytestmark = pytest.mark.slow  # servers are started


leaks_sockets = pytest.mark.filterwarnings(  # pynetdicom does, where a connection is refused
    "ignore::pytest.PytestUnraisableExceptionWarning"
)


@pytest.mark.parametrize(
    ("text", "archive"),
    [
        ("PACS@host:104", Archive("PACS", "host", 104)),
        (" MY PACS@10.0.0.1:11112", Archive("MY PACS", "10.0.0.1", 11112)),
        ("A@[::1]:4242", Archive("A", "::1", 4242)),
    ],
)
def test_addresses(text, archive):
    assert parse_archive(text) == archive
    assert parse_archive(str(archive)) == archive


@pytest.mark.parametrize(
    "text", ["", "host:104", "A@host", "A@:104", "@host:104", "A@host:0", "A@host:70000", "A" * 17 + "@h:1"]
)
def test_other_texts_are_refused_with_an_example(text):
    with pytest.raises(InputError, match=r"expected an archive AET@HOST:PORT such as ORTHANC@localhost:4242, got "):
        parse_archive(text)


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@pytest.fixture
def files(write, image):
    """Two slices as images and uncertainty, and the map of these: two classes."""
    folder, _ = write(*(image(series=series, at_mm=6.0 * i, slice=i) for i in range(2) for series in (1, 101)))
    return folder.files


@pytest.fixture
def pauses():
    return []


class Server:
    """A storage server whose answers are given; it may leave after one of them."""

    def __init__(self, statuses, classes=None):
        from pynetdicom import AE, StoragePresentationContexts, evt

        self.statuses, self.received, self.port = list(statuses), [], free_port()
        entity = AE(ae_title="PACS")
        entity.require_called_aet = True
        entity.supported_contexts = [
            c for c in StoragePresentationContexts if classes is None or c.abstract_syntax in classes
        ]
        if not classes:
            entity.add_supported_context("1.2.840.10008.5.1.4.1.1.30")
        self.server = entity.start_server(
            ("127.0.0.1", self.port), block=False, evt_handlers=[(evt.EVT_C_STORE, self.answer)]
        )

    def answer(self, event):
        status = self.statuses.pop(0) if self.statuses else 0
        if status is None:
            event.assoc.abort()
            return 0xC000
        if status == 0 or 0xB000 <= status < 0xC000:
            self.received.append(str(event.dataset.SOPInstanceUID) if hasattr(event, "dataset") else "")
        return status


@pytest.fixture
def server():
    made = []

    def start(*statuses, classes=None):
        made.append(Server(statuses, classes))
        return made[-1]

    yield start
    for each in made:
        each.server.shutdown()


def sent(files, server, pauses, title="PACS", silence_s=5.0, **settings):
    return send(
        files, Archive(title, "127.0.0.1", server.port), SendSettings(silence_s=silence_s, **settings), pauses.append
    )


def test_everything_arrives_once(files, server, pauses):
    there = server()
    report = sent(files, there, pauses)
    assert (report.stored, report.failed, report.warned, report.n_tries) == (files, {}, {}, 1)
    assert len(set(there.received)) == len(files) == 5
    assert str(report) == f"5 of 5 DICOM files stored by PACS@127.0.0.1:{there.port}"
    assert pauses == []


def test_what_does_not_fit_for_the_moment_is_sent_again(files, server, pauses):
    there = server(0, 0xA700, 0)
    report = sent(files, there, pauses)
    assert sorted(report.stored) == sorted(files)
    assert (report.failed, report.n_tries, pauses) == ({}, 2, [1.0])
    assert len(there.received) == len(files)


def test_a_connection_that_breaks_off_costs_no_file(files, server, pauses):
    report = sent(files, server(0, None), pauses, silence_s=1.0)
    assert sorted(report.stored) == sorted(files)
    assert (report.failed, report.n_tries) == ({}, 2)


def test_what_is_refused_is_not_sent_again_and_told(files, server, pauses, caplog):
    there = server(0, 0xA900)
    report = sent(files, there, pauses)
    assert report.failed == {files[1]: "the archive refuses it (status 0xA900)"}
    assert (len(report.stored), report.n_tries) == (4, 1)
    assert str(report).startswith("4 of 5 DICOM files stored by PACS")
    assert f", the archive refuses it (status 0xA900): {files[1].name}\n" in caplog.text


def test_a_class_that_the_archive_does_not_know_costs_its_files_alone(files, server, pauses):
    there = server(classes=["1.2.840.10008.5.1.4.1.1.4"])
    report = sent(files, there, pauses)
    assert len(report.stored) == 4
    assert [path.name for path in report.failed] == ["series151_map0001.dcm"]


def test_warnings_count_as_stored(files, server, pauses):
    report = sent(files, server(0xB000), pauses)
    assert (len(report.stored), report.warned) == (5, {files[0]: "status 0xB000"})
    assert ", 1 of them with a warning" in str(report)


@leaks_sockets
def test_an_archive_that_is_not_there_is_asked_several_times(files, pauses, caplog):
    report = send(files, Archive("PACS", "127.0.0.1", free_port()), SendSettings(silence_s=5), pauses.append)
    assert (report.stored, report.n_tries, pauses) == ([], 4, [1.0, 2.0, 4.0])
    assert list(report.failed) == files
    assert str(report).endswith(f"after 4 tries; {files[0].name}: no connection, or no answer")
    lines = [record.message for record in caplog.records if record.message.startswith("not stored by")]
    assert lines == [
        f"not stored by {report.archive}, no connection, or no answer: {', '.join(path.name for path in files)}"
    ]
    assert {record.name.split(".")[0] for record in caplog.records if record.levelno > logging.INFO} == {"nilatron"}


def test_a_title_that_the_archive_does_not_have(files, server, pauses):
    report = sent(files, server(), pauses, title="OTHER", tries=2)
    assert report.stored == []
    assert "rejected: called ae title not recognised" in str(report)


@leaks_sockets
def test_an_archive_that_comes_back_gets_the_files(files, pauses):
    port, made = free_port(), []

    def wait(pause_s):
        pauses.append(pause_s)
        if len(pauses) == 2:
            from pynetdicom import AE, AllStoragePresentationContexts, evt

            entity = AE(ae_title="PACS")
            entity.supported_contexts = AllStoragePresentationContexts
            made.append(
                entity.start_server(("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, lambda _: 0)])
            )

    try:
        report = send(files, Archive("PACS", "127.0.0.1", port), SendSettings(silence_s=5), wait)
    finally:
        for each in made:
            each.shutdown()
    assert (report.stored, report.n_tries) == (files, 3)


# --- archives that others wrote


def program(name):
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


@pytest.fixture
def running():
    """Start a program and wait until it listens on a port."""
    made = []

    def start(port, *words):
        made.append(subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))  # noqa: S603
        for _ in range(200):
            with socket.socket() as sock:
                if sock.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.1)
        raise AssertionError(f"{words[0]} does not listen")

    yield start
    for each in made:
        each.terminate()
        each.wait(20)


def test_storescp_stores_the_same_pixels(files, running, tmp_path):
    pydicom = pytest.importorskip("pydicom")
    port, there = free_port(), tmp_path / "stored"
    there.mkdir()
    running(port, program("storescp"), "--aetitle", "PACS", "-od", there, str(port))
    report = send(files, Archive("PACS", "127.0.0.1", port))
    assert (report.stored, report.failed) == (files, {})
    arrived = {data.SOPInstanceUID: data for data in map(pydicom.dcmread, there.iterdir())}
    for path in files:
        data = pydicom.dcmread(path)
        same = arrived.pop(data.SOPInstanceUID)
        assert data == same
    assert arrived == {}


def test_orthanc_has_patient_study_series_and_instances(files, running, tmp_path):
    pydicom = pytest.importorskip("pydicom")
    port, http = free_port(), free_port()
    settings = {
        "StorageDirectory": str(tmp_path / "orthanc"),
        "IndexDirectory": str(tmp_path / "orthanc"),
        "DicomPort": port,
        "DicomAet": "ORTHANC",
        "HttpPort": http,
        "AuthenticationEnabled": False,
        "RemoteAccessAllowed": False,
        "Plugins": [],
    }
    (tmp_path / "orthanc.json").write_text(json.dumps(settings))
    running(port, program("Orthanc"), tmp_path / "orthanc.json")
    for _ in range(2):  # again: the same identifiers, so nothing is there twice
        report = send(files, Archive("ORTHANC", "127.0.0.1", port))
        assert report.failed == {}

    def asked(what):
        with urllib.request.urlopen(f"http://127.0.0.1:{http}/{what}", timeout=10) as answer:
            return json.load(answer)

    assert [asked("statistics")[f"Count{what}"] for what in ("Patients", "Studies", "Series", "Instances")] == [
        1,
        1,
        3,
        5,
    ]
    names = {asked(f"series/{series}")["MainDicomTags"]["SeriesDescription"] for series in asked("series")}
    assert names == {str(pydicom.dcmread(path).SeriesDescription) for path in files}
