"""Writing HDF5 files on disks that may be full, block by block: each block is in the file as a whole, or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import h5py

from nilatron.pipelines.files.interrupts import shielded
from nilatron.pipelines.files.reserved import ReservedFile

STRUCTURES_BYTES = 1 << 17  # of HDF5's own structures that a block may need at most: groups, heads, trees


class Hdf5Writer:
    """New HDF5 file at a path; a context manager, which closes it.

    Attributes
    ----------
    file
        Open for writing, within `block` only.

    Raises
    ------
    OSError
        When the file exists or cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self._storage = ReservedFile(path)
        with shielded():  # HDF5 would not survive an exception in the middle of a write
            self.file = h5py.File(self._storage, "w")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with shielded():
            self.file.close()
            self._storage.close()

    @property
    def sound(self) -> bool:
        """Whether the file holds all complete blocks, so that it can be read once it is closed."""
        return self._storage.sound

    @contextmanager
    def block(self, n_bytes: int) -> Iterator[h5py.File]:
        """Block that writes about `n_bytes`; the room is reserved first, and no stop signal interrupts it.

        Raises
        ------
        OSError
            When the disk has no room, so that the block is not entered; or fails in it, so that the file is not `sound`.
        """
        with shielded():
            self._storage.reserve(n_bytes + STRUCTURES_BYTES)
            yield self.file
            self.file.flush()
            self._storage.check()

    def finish(self) -> None:
        """Close the file.

        Raises
        ------
        OSError
            When it is not `sound`.
        """
        self.__exit__()
        self._storage.check()
