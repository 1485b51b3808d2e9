"""Writing files that appear only when they are complete, and the error for files that cannot be used."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Self

from nilatron.core.errors import BadInputError
from nilatron.pipelines.files.disk import OutputError, is_disk_error, reason_of
from nilatron.pipelines.files.interrupts import forget, keep_in_mind, shielded


class InputError(BadInputError):
    """A file or setting of the user that cannot be used; the message says what was expected, what came and what to do."""


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Temporary path in the folder of `target`; its file is renamed to `target` on success and deleted on failure.

    Raises
    ------
    InputError
        When the folder does not exist or cannot be written.
    OutputError
        When the disk is full, or fails otherwise.
    """
    with temporary_beside(target) as temporary, told_as(target, temporary):
        yield temporary
        publish(temporary, target)


@contextmanager
def told_as(target: Path, temporary: Path) -> Iterator[None]:
    """Block that writes below `temporary`; failures of the disk are told as those of `target`."""
    try:
        yield
    except OSError as error:
        elsewhere = error.filename is not None and not Path(error.filename).is_relative_to(temporary)
        if elsewhere or not is_disk_error(error):
            raise
        raise OutputError(f"{target}: {reason_of(error)}; nothing was written") from error


@contextmanager
def temporary_beside(target: Path) -> Iterator[Path]:
    """Temporary path in the folder of `target`, for a file; deleted at the end of the block unless it was published.

    Raises
    ------
    InputError
        When the folder does not exist or cannot be written.
    """
    if not target.parent.is_dir():
        raise InputError(f"{target}: the folder {target.parent} does not exist")
    if not os.access(target.parent, os.W_OK):
        raise InputError(f"{target}: the folder {target.parent} may not be written")
    temporary = _temporary_name(target)
    keep_in_mind(temporary)
    try:
        yield temporary
    finally:
        with shielded():
            temporary.unlink(missing_ok=True)
            forget(temporary)


def publish(temporary: Path, target: Path) -> None:
    """Give a complete file its name, in place of an earlier file; on the disk it is complete before it has the name."""
    with shielded():
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(target)


def partial_name(path: Path) -> Path:
    """Where a part of a result goes that must not replace the whole one at `path`."""
    return path.with_name(f"{path.stem}.partial{path.suffix}")


def _temporary_name(target: Path) -> Path:
    return target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")


@dataclass
class AtomicFolder:
    """Context manager for files that appear in `folder` together, when the block ends without an exception.

    Parameters
    ----------
    folder
        Is made if it does not exist.
    own
        Patterns of names that the writer of the files gives: a folder that holds such files is that of an earlier run.
    overwrite
        Replace the files of an earlier run, all of them; other files in the folder stay.

    Raises
    ------
    InputError
        When `folder` is a file, may not be made or written, or holds files of an earlier run that are not to be replaced.
    OutputError
        On entering and leaving the block, when the disk is full, or fails otherwise.
    """

    folder: Path
    _: KW_ONLY
    own: tuple[str, ...] = ()
    overwrite: bool = False

    def __post_init__(self) -> None:
        """Refuse a path that is not a folder, and one whose files would mix with the new ones."""
        if self.folder.exists() and not self.folder.is_dir():
            raise InputError(f"{self.folder} is not a folder: give one for the files")
        there = next(path for path in (self.folder, *self.folder.absolute().parents) if path.is_dir())
        if not os.access(there, os.W_OK):
            raise InputError(f"{self.folder}: the folder {there} may not be written")
        if not self.overwrite and (earlier := self._earlier()):
            raise InputError(
                f"{self.folder} holds files of an earlier run ({len(earlier)}, such as {earlier[0].name}): give another "
                "folder, or replace them with --overwrite"
            )

    def __enter__(self) -> Self:
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        self.temporary = _temporary_name(self.folder)  # in which the files are written
        keep_in_mind(self.temporary)
        with told_as(self.folder, self.temporary):
            self.temporary.mkdir()
        return self

    def keep_apart(self) -> None:
        """Have the files appear in a folder of their own, if they would replace those of an earlier run."""
        if self._earlier():
            self.folder = partial_name(self.folder)

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        with shielded():
            try:
                with told_as(self.folder, self.temporary):
                    if kind is None:
                        self._publish()
                    elif isinstance(error, OSError):
                        raise error
            finally:
                shutil.rmtree(self.temporary, ignore_errors=True)
                forget(self.temporary)

    def _publish(self) -> None:
        new = sorted(self.temporary.iterdir())
        earlier = self._earlier()
        if not self.folder.exists():
            self.temporary.rename(self.folder)
            return
        for path in new:
            path.replace(self.folder / path.name)
        for path in earlier:
            if path.name not in {one.name for one in new}:
                path.unlink(missing_ok=True)

    def _earlier(self) -> list[Path]:
        """Files of an earlier run."""
        return sorted(path for pattern in self.own for path in self.folder.glob(pattern) if path.is_file())


@dataclass
class SpareFolder(AtomicFolder):
    """An `AtomicFolder` that something more important does not wait for: a disk that fails costs the folder alone.

    Attributes
    ----------
    failure
        Why there is no folder; empty if there is one.
    """

    failure: str = field(default="", kw_only=True)

    def __enter__(self) -> Self:
        try:
            return super().__enter__()
        except OutputError as error:
            self.failure = str(error)
            return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if self.failure:
            return
        try:
            super().__exit__(kind, error, traceback)
        except OutputError as failure:
            self.failure = str(failure)
