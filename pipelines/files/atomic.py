"""Files that cannot be used, and files that appear whole or not at all."""

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
    """A file or a setting of the user's that cannot be used: what was expected, what came, what to do."""


def open_hdf5(path: Path) -> h5py.File:
    """Open for reading.

    Raises
    ------
    InputError
        When it is missing, not readable, truncated or not HDF5.
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
    cache.initial_size = cache.max_size = _METADATA_CACHE_BYTES  # else it grows with the file, up to 32 MiB
    file.id.set_mdc_config(cache)
    return file


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside `target`, which takes its place on success and vanishes on failure.

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
    """Files that appear in `folder` all at once, when the block ends without an exception.

    Raises
    ------
    InputError
        When there is a file of this name.
    """

    folder: Path

    def __post_init__(self) -> None:
        """Refuse what is no folder."""
        if self.folder.exists() and not self.folder.is_dir():
            raise InputError(f"{self.folder} is not a folder: give one for the files")

    def __enter__(self) -> Self:
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        self._temporary = tempfile.TemporaryDirectory(dir=self.folder.parent, prefix=f".{self.folder.name}.")
        return self

    @property
    def waiting(self) -> Path:
        """Where files are written until the end."""
        return Path(self._temporary.name)

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        if kind is None:
            self.folder.mkdir(exist_ok=True)
            for path in sorted(self.waiting.iterdir()):
                path.replace(self.folder / path.name)
        self._temporary.cleanup()
