"""The memory of a file before it is started, and that of a machine."""

from __future__ import annotations

from nilatron.pipelines.files.raw import open_raw
from nilatron.pipelines.replay.settings import ReplaySettings
from nilatron.pipelines.server.admission import estimate_bytes, free_bytes

WORKER_BYTES = 600 << 20  # of a worker that has its libraries and the model, and no file


def needed_bytes(settings: ReplaySettings) -> int:
    """Memory that the reconstruction of a file will need beyond that of an idle worker, from its header.

    Raises
    ------
    InputError
        When the file cannot be read.
    """
    with open_raw(settings.raw, settings.group) as raw:
        return estimate_bytes(raw.header, 0)


def budget_bytes(n_workers: int, limit_bytes: int | None) -> int:
    """Memory for the files that a machine works on at once: the limit, or what is free beside so many workers."""
    return limit_bytes if limit_bytes is not None else max(0, free_bytes() - n_workers * WORKER_BYTES)
