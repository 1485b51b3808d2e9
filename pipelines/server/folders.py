"""The temporary folder of a server, and those that killed ones have left."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

log = logging.getLogger(__name__)

PREFIX = "nilatron-serve-"
LOCK = "lock"
YOUNG_S = 60.0  # a folder without a lock may be about to get it


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Folder for everything temporary of this process and its children; it goes with them, or with the next server."""
    sweep()
    earlier, variable = tempfile.tempdir, os.environ.get("TMPDIR")
    with tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with (folder / LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            tempfile.tempdir = os.environ["TMPDIR"] = name
            try:
                yield folder
            finally:
                tempfile.tempdir = earlier
                os.environ.pop("TMPDIR")
                if variable is not None:
                    os.environ["TMPDIR"] = variable


def sweep() -> None:
    """Remove the folders of servers that are no more."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        try:
            is_left = folder.stat().st_uid == os.getuid() and not folder.is_symlink() and _is_unlocked(folder)
        except OSError:  # it goes by itself just now
            continue
        if is_left:
            shutil.rmtree(folder, ignore_errors=True)
            log.info("removed %s, which an earlier server has left", folder)


def _is_unlocked(folder: Path) -> bool:
    lock = folder / LOCK
    if not lock.is_file():
        return time.time() - folder.stat().st_mtime > YOUNG_S
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
