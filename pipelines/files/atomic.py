"""Writing files that appear only when they are complete, and the error for files that cannot be used."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import h5py

from nilatron.core.errors import BadInputError

_METADATA_CACHE_BYTES = 1 << 21


class InputError(BadInputError):
    """A file or setting of the user that cannot be used; the message says what was expected, what came and what to do."""


def open_hdf5(path: Path) -> h5py.File:
    """Open an HDF5 file for reading.

    Raises
    ------
    InputError
        When the file is missing, not readable, truncated or not HDF5.
    """
    if not path.is_file():
        raise InputError(f"{path}: {'is not a file' if path.exists() else 'no such file'}")
    try:
        file = h5py.File(path, "r")
    except PermissionError as error:
        raise InputError(f"{path}: may not be read: {error.strerror}") from None
    except OSError as error:
        if "truncated" in str(error):
            raise InputError(
                f"{path}: the HDF5 file is truncated ({path.stat().st_size} bytes); copy it again"
            ) from None
        raise InputError(f"{path}: is not an HDF5 file, so it is not ISMRMRD data ({error})") from None
    cache = file.id.get_mdc_config()
    cache.initial_size = cache.max_size = _METADATA_CACHE_BYTES  # by default it grows with the file, up to 32 MiB
    file.id.set_mdc_config(cache)
    return file


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Temporary path in the folder of `target`; its file is renamed to `target` on success and deleted on failure.

    Raises
    ------
    InputError
        When the folder does not exist or cannot be written.
    """
    if not target.parent.is_dir():
        raise InputError(f"{target}: the folder {target.parent} does not exist")
    if not os.access(target.parent, os.W_OK):
        raise InputError(f"{target}: the folder {target.parent} may not be written")
    temporary = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


@dataclass
class AtomicFolder:
    """Context manager for files that appear in `folder` together, when the block ends without an exception.

    Raises
    ------
    InputError
        When `folder` is a file.
    """

    folder: Path

    def __post_init__(self) -> None:
        """Refuse a path that is not a folder."""
        if self.folder.exists() and not self.folder.is_dir():
            raise InputError(f"{self.folder} is not a folder: give one for the files")

    def __enter__(self) -> Self:
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        self._temporary = tempfile.TemporaryDirectory(dir=self.folder.parent, prefix=f".{self.folder.name}.")
        return self

    @property
    def temporary(self) -> Path:
        """Temporary folder in which the files are written."""
        return Path(self._temporary.name)

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        if kind is None:
            self.folder.mkdir(exist_ok=True)
            for path in sorted(self.temporary.iterdir()):
                path.replace(self.folder / path.name)
        self._temporary.cleanup()
