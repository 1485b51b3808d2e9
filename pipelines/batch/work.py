"""One file in a worker: recognised as finished by its hash, or reconstructed and recorded."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from nilatron.core.errors import BadInputError
from nilatron.pipelines.batch.estimate import needed_bytes
from nilatron.pipelines.batch.fingerprint import fingerprint, recipe, stamp
from nilatron.pipelines.batch.records import Record, read_record, write_record
from nilatron.pipelines.batch.rows import COMPLETE, INCOMPLETE, UNUSABLE, Row, facts_of
from nilatron.pipelines.batch.settings import Job
from nilatron.pipelines.replay.run import replay

log = logging.getLogger(__name__)


def finished_before(job: Job) -> Row | None:
    """The row of an output that is there as a whole and was made from this file in this way; None where there is none.

    Reads no more than the record: a raw file whose size or time has changed is left to the worker, which reads its bytes.
    """
    record = read_record(job)
    if record is None or record.row is None or not job.output.is_file():
        return None
    if record.recipe != recipe(job.settings) or record.stamp != stamp(job.settings.raw):
        return None
    return _again(record.row, job)


def prepare(job: Job) -> Row | int:
    """Row of a file that no worker is needed for, because it is finished or cannot be used; else the memory it needs."""
    try:
        return finished_before(job) or needed_bytes(job.settings)
    except BadInputError as error:
        return Row(str(job.settings.raw), exit=UNUSABLE, reason=_reason(error, job), tries=0)


def reconstruct(job: Job) -> Row:
    """Make the images of a file and their record.

    Returns
    -------
    Its row; of a file that cannot be used one that says why.

    Raises
    ------
    OSError, RuntimeError, ...
        When something failed that may not fail again.
    """
    started = time.perf_counter()
    try:
        row = _recorded(job, lambda: time.perf_counter() - started)
    except BadInputError as error:
        seconds = time.perf_counter() - started
        row = Row(str(job.settings.raw), exit=UNUSABLE, reason=_reason(error, job), seconds=seconds)
    return row


def _recorded(job: Job, elapsed: Callable[[], float]) -> Row:
    made_from = Record(fingerprint(job.settings), recipe(job.settings), stamp(job.settings.raw))
    before = read_record(job)
    is_ours = before is not None and before.fingerprint == made_from.fingerprint
    there = job.output.exists()
    if before is not None and is_ours and before.row is not None and there:
        write_record(job, replace(made_from, row=before.row))
        return _again(before.row, job)
    if there and not is_ours and not job.overwrite:
        raise BadInputError(
            f"{job.output} was made otherwise (file, chain, settings, weights or version): give another folder, or replace "
            "it with --overwrite"
        )
    write_record(job, made_from)
    report = replay(replace(job.settings, overwrite=True))
    written = report.written or job.output
    row = Row(
        str(job.settings.raw),
        str(written),
        exit=COMPLETE if report.complete else INCOMPLETE,
        seconds=elapsed(),
        warnings="; ".join(report.log.problems),
        reason="" if report.failure is None else str(report.failure),
        **facts_of(written),
    )
    if report.n_images < report.n_expected and not row.reason:
        row = replace(row, reason=f"{report.n_images} of {report.n_expected} expected images came")
    if report.failure is None:
        write_record(job, replace(made_from, row=row))
    return row


def _reason(error: BadInputError, job: Job) -> str:
    """What is wrong with a file, without its name, which the row has already."""
    return str(error).removeprefix(f"{job.settings.raw}: ")


def _again(row: Row, job: Job) -> Row:
    """The row of an earlier run."""
    return replace(row, file=str(job.settings.raw), output=str(Path(job.output)), tries=0)
