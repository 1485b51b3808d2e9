"""Sending DICOM files to an archive by C-STORE, with another try for what did not arrive, and a report."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nilatron.pipelines.archive.identity import IMPLEMENTATION_NAME, IMPLEMENTATION_UID
from nilatron.pipelines.files.atomic import InputError

log = logging.getLogger(__name__)

MAX_NAMED = 10  # files in a line of the log
OUR_TITLE = "NILATRON"
ADDRESS = re.compile(r"(?P<title>[^@\\]{1,16})@(?P<host>\[[^\]]+\]|[^:@\s]+):(?P<port>\d{1,5})")
SUCCESS, WARNINGS, OUT_OF_RESOURCES = 0x0000, range(0xB000, 0xC000), range(0xA700, 0xA800)


@dataclass(frozen=True)
class Archive:
    """Where DICOM files go: application entity title, host and port."""

    title: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.title}@{host}:{self.port}"


@dataclass(frozen=True)
class SendSettings:
    """How patient we are: tries in all, the pause before the second one (doubled before each other), the longest silence."""

    tries: int = 4
    pause_s: float = 1.0
    silence_s: float = 30.0


@dataclass
class SendReport:
    """What became of the files.

    Attributes
    ----------
    archive
        Where they went.
    stored
        Files that the archive has.
    warned
        Those of them that it stored with a warning, and its words.
    failed
        Files that it does not have, and why.
    n_tries
        Associations that were asked for.
    """

    archive: Archive
    stored: list[Path] = field(default_factory=list)
    warned: dict[Path, str] = field(default_factory=dict)
    failed: dict[Path, str] = field(default_factory=dict)
    n_tries: int = 0

    def __str__(self) -> str:
        n_files = len(self.stored) + len(self.failed)
        text = f"{len(self.stored)} of {n_files} DICOM files stored by {self.archive}"
        text += f", {len(self.warned)} of them with a warning" if self.warned else ""
        if self.failed:
            path, why = next(iter(self.failed.items()))
            text += f" after {self.n_tries} tries; {path.name}: {why}"
        return text


def parse_archive(text: str) -> Archive:
    """The archive of a text AET@HOST:PORT.

    Raises
    ------
    InputError
        When the text has another form.
    """
    found = ADDRESS.fullmatch(text.strip())
    if not found or not found["title"].strip() or not 0 < int(found["port"]) < 65536:
        raise InputError(f"expected an archive AET@HOST:PORT such as ORTHANC@localhost:4242, got {text!r}")
    return Archive(found["title"].strip(), found["host"].strip("[]"), int(found["port"]))


def send(
    files: Sequence[Path],
    archive: Archive,
    settings: SendSettings = SendSettings(),
    sleep: Callable[[float], None] = time.sleep,
) -> SendReport:
    """Store files in an archive; those that fail for a reason that may pass are tried again, those that it refuses are not."""
    report = SendReport(archive)
    waiting = dict.fromkeys(files, "not sent")
    pause_s = settings.pause_s
    while waiting and report.n_tries < settings.tries:
        if report.n_tries:
            why = next(iter(waiting.values()))
            log.warning("%d files are not stored by %s (%s); again in %g s", len(waiting), archive, why, pause_s)
            sleep(pause_s)
            pause_s *= 2
        report.n_tries += 1
        waiting = _try(waiting, archive, settings, report)
    report.failed |= waiting
    for why in dict.fromkeys(report.failed.values()):
        paths = [path.name for path, reason in report.failed.items() if reason == why]
        more = f" and {len(paths) - MAX_NAMED} more" if len(paths) > MAX_NAMED else ""
        log.warning("not stored by %s, %s: %s%s", archive, why, ", ".join(paths[:MAX_NAMED]), more)
    return report


@contextmanager
def _quiet_library() -> Iterator[None]:
    """Without the log of pynetdicom, which tells every failure once more and in its own words."""
    library = logging.getLogger("pynetdicom")
    level = library.level
    library.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        library.setLevel(level)


def _try(waiting: Collection[Path], archive: Archive, settings: SendSettings, report: SendReport) -> dict[Path, str]:
    """Send files in one association; those that may be tried again, and why."""
    with _quiet_library():
        association = _associate(waiting, archive, settings)
        if not association.is_established:
            return dict.fromkeys(waiting, _why_not(association))
        again: dict[Path, str] = {}
        try:
            for path in waiting:
                _store(path, association, report, again)
        finally:
            if association.is_established:
                association.release()
    return again


def _why_not(association: Any) -> str:
    answer = association.acceptor.primitive
    if association.is_rejected and answer is not None:
        return f"the association was rejected: {answer.reason_str.lower()}"
    return "no connection, or no answer"


def _store(path: Path, association: Any, report: SendReport, again: dict[Path, str]) -> None:
    if not association.is_established:
        again[path] = "the connection broke off"
        return
    try:
        status = association.send_c_store(path).get("Status")
    except (ValueError, RuntimeError) as error:  # no accepted context for its class; the peer has just left
        kept = again if not association.is_established else report.failed
        kept[path] = str(error)
        return
    if status is None:
        again[path] = "the archive did not answer"
    elif status == SUCCESS or status in WARNINGS:
        report.stored.append(path)
        if status != SUCCESS:
            report.warned[path] = f"status 0x{status:04X}"
    elif status in OUT_OF_RESOURCES:
        again[path] = f"the archive is out of resources (status 0x{status:04X})"
    else:
        report.failed[path] = f"the archive refuses it (status 0x{status:04X})"


def _associate(files: Collection[Path], archive: Archive, settings: SendSettings) -> Any:
    from pynetdicom.ae import ApplicationEntity

    entity = ApplicationEntity(ae_title=OUR_TITLE)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = entity.connection_timeout = settings.silence_s
    entity.implementation_class_uid, entity.implementation_version_name = IMPLEMENTATION_UID, IMPLEMENTATION_NAME
    for sop_class, syntax in sorted(set(map(_kind, files))):
        entity.add_requested_context(sop_class, syntax)
    return entity.associate(archive.host, archive.port, ae_title=archive.title)


def _kind(path: Path) -> tuple[str, str]:
    """Class and transfer syntax of a file."""
    from pydicom.filereader import read_file_meta_info

    meta = read_file_meta_info(path)
    return str(meta.MediaStorageSOPClassUID), str(meta.TransferSyntaxUID)
