"""A batch from its inputs to its table and page."""

from __future__ import annotations

import fcntl
import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from nilatron.core.words import counted
from nilatron.pipelines.batch.driver import Driver
from nilatron.pipelines.batch.engine import Engine
from nilatron.pipelines.batch.inputs import find_jobs
from nilatron.pipelines.batch.loop import drive
from nilatron.pipelines.batch.page import write_page
from nilatron.pipelines.batch.records import remove_half_files
from nilatron.pipelines.batch.rows import COMPLETE, Row
from nilatron.pipelines.batch.settings import BatchSettings, Limits
from nilatron.pipelines.batch.table import Table
from nilatron.pipelines.batch.work import prepare
from nilatron.pipelines.device import resolve_device
from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.progress import Bar

if TYPE_CHECKING:
    from rich.console import Console

log = logging.getLogger(__name__)


@dataclass
class BatchReport:
    """What came of a batch.

    Attributes
    ----------
    n_files
        Files that it was to do.
    n_complete, n_before
        Files that are complete, and files that an earlier run has finished, complete or not.
    seconds
        Of the whole.
    first_reason
        Of the first file that is not complete.
    """

    n_files: int
    n_complete: int = 0
    n_before: int = 0
    n_rows: int = 0
    seconds: float = 0.0
    first_reason: str = ""

    def count(self, row: Row) -> None:
        """Count the row of a file."""
        self.n_rows += 1
        self.n_complete += row.exit == COMPLETE
        self.n_before += row.tries == 0 and bool(row.output)
        if row.exit != COMPLETE and not self.first_reason:
            self.first_reason = f"{row.file}: {row.reason or row.warnings}"

    @property
    def complete(self) -> bool:
        """Whether every file is."""
        return self.n_complete == self.n_files


def run_batch(settings: BatchSettings, console: Console | None = None) -> BatchReport:
    """Do all files of a batch; those that an earlier run has finished are recognised.

    The table and the page are written as well when a stop signal comes, and stay as they are when no worker can be had.

    Parameters
    ----------
    console
        Shows there how far the batch has come.

    Raises
    ------
    BadInputError
        When the batch cannot begin: inputs, chain, settings, the folder.
    ConnectionError
        When there is no Ray at the address.
    WorkersError
        When workers end before they have done anything, again and again.
    """
    started_s = time.monotonic()
    jobs, limits = find_jobs(settings), settings.limits
    report = BatchReport(len(jobs))
    with ExitStack() as stack:
        stack.enter_context(owned(settings.folder))
        remove_half_files(settings.folder)
        bar = stack.enter_context(Bar(console))
        bar.update(0, len(jobs), "files", "starting")
        table = Table(settings.folder)
        stack.callback(table.close)

        def take(row: Row) -> None:
            table.append(row)
            report.count(row)
            n_odd = report.n_rows - report.n_complete
            words = f"{n_odd} not complete" if n_odd else ""
            bar.update(report.n_rows, report.n_files, "files", words, found=report.n_before)

        driver = Driver(jobs, prepare, retries=limits.retries, time_limit_s=limits.time_limit_s)
        has_workers = False

        @contextmanager
        def workers() -> Iterator[Engine]:
            nonlocal has_workers
            with engine_of(settings) as engine:
                has_workers = True
                yield engine

        try:
            drive(driver, workers(), take, lambda job: remove_half_files(settings.folder, job))
        finally:
            report.seconds = time.monotonic() - started_s
            if has_workers or driver.finished:  # else the table and the page of an earlier run say more
                remove_half_files(settings.folder)  # of workers that were stopped
                table.write()
                write_page(settings.folder / "report.html", list(table.rows()), str(settings.folder), report.seconds)
    log.info("%s of %s complete", report.n_complete, counted(report.n_files, "file"))
    return report


@contextmanager
def engine_of(settings: BatchSettings) -> Iterator[Engine]:
    """The workers of a batch, which end with the block."""
    limits = with_gpus(settings.limits, settings.base.device, is_here=settings.ray in ("auto", "off"))
    engine: Engine
    if settings.ray == "off" or (settings.ray == "auto" and not has_ray()):
        from nilatron.pipelines.batch.process_engine import ProcessEngine

        engine = ProcessEngine(limits, settings.base.device)
    else:
        from nilatron.pipelines.batch.ray_engine import RayEngine

        engine = RayEngine(limits, settings.ray)
    try:
        yield engine
    finally:
        engine.close()


def with_gpus(limits: Limits, device: str, *, is_here: bool) -> Limits:
    """The limits, with a GPU for each worker where none is named and the device is one."""
    if limits.gpus_per_worker is not None:
        return limits
    wanted = device == "cuda" or (device == "auto" and is_here and resolve_device(device) == "cuda")
    return replace(limits, gpus_per_worker=1.0 if wanted else 0.0)


def has_ray() -> bool:
    """Whether Ray is installed."""
    from importlib.util import find_spec

    if find_spec("ray") is not None:
        return True
    log.warning("Ray is not installed (pip install 'nilatron[cluster]'): processes of this machine are used")
    return False


@contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Block in which nobody else works in the folder, which is made.

    Raises
    ------
    InputError
        When another batch does, or the folder cannot be made or written.
    """
    try:
        for part in ("images", "records"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    except OSError as error:
        raise InputError(f"{folder}: cannot be written: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(f"{folder}: another batch works in this folder") from error
        yield
