"""What is known of each output, in a small file of its own: written by the worker, read by whoever resumes.

begun     a worker has started; what lies under the output's name then is ours, and may be replaced
finished  the images are there as a whole, with their row
"""

from __future__ import annotations

import glob
import json
from dataclasses import dataclass
from pathlib import Path

from nilatron.pipelines.batch.rows import Row
from nilatron.pipelines.batch.settings import Job
from nilatron.pipelines.files.atomic import atomic_path


@dataclass(frozen=True)
class Record:
    """What an output is made from, and what came of it.

    Attributes
    ----------
    fingerprint, recipe
        Of `batch.fingerprint`.
    stamp
        Size and time of the raw file.
    row
        The result; None while it is made.
    """

    fingerprint: str
    recipe: str
    stamp: str
    row: Row | None = None


def record_path(job: Job) -> Path:
    """Where the record of a job's output lies."""
    return job.output.parent.parent / "records" / f"{job.name}.json"


def read_record(job: Job) -> Record | None:
    """The record of a job's output; None where there is none that can be read."""
    try:
        found = json.loads(record_path(job).read_text(encoding="utf-8"))
        row = Row.from_json(json.dumps(found["row"])) if found["row"] is not None else None
        return Record(str(found["fingerprint"]), str(found["recipe"]), str(found["stamp"]), row)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def write_record(job: Job, record: Record) -> None:
    """Write the record of a job's output.

    Raises
    ------
    InputError, OutputError
        When it cannot be written.
    """
    row = None if record.row is None else json.loads(record.row.as_json())
    text = json.dumps(
        {"fingerprint": record.fingerprint, "recipe": record.recipe, "stamp": record.stamp, "row": row},
        ensure_ascii=False,
    )
    with atomic_path(record_path(job)) as temporary:
        temporary.write_text(text, encoding="utf-8")


def remove_half_files(folder: Path, job: Job | None = None) -> None:
    """Remove temporary files of workers that were killed: of one output, or of all of a folder that nobody works in."""
    name = "*" if job is None else glob.escape(job.name)
    for part, ending in (("images", ".h5"), ("records", ".json")):
        for path in (folder / part).glob(f".{name}{ending}.*.tmp"):
            path.unlink(missing_ok=True)
