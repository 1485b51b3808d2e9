"""HDF5 files on a disk that may fill up.

HDF5 does not survive a write that fails: it crashes, or fails again with everything that it closes. Here such a write goes to
memory, so that HDF5 can end in peace, and the error waits for `check`.
"""

from __future__ import annotations

import io
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import h5py


class CarefulFile(io.RawIOBase):
    """A new file whose writes never fail; after the first that should have, all are kept in memory.

    Attributes
    ----------
    error
        What the file system said first; None as long as all is well.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        self.error: OSError | None = None
        self._kept: list[tuple[int, bytes]] = []  # places and contents of what was not written, in their order
        self._place = self._size = 0

    def write(self, content: Any) -> int:
        """Write at the current place."""
        content = bytes(content)
        if self.error is None:
            try:
                self._write_all(content)
            except OSError as error:
                self.error = error
        if self.error is not None:
            self._kept.append((self._place, content))
        self._place += len(content)
        self._size = max(self._size, self._place)
        return len(content)

    def _write_all(self, content: bytes) -> None:
        done = 0
        while done < len(content):  # a disk that is nearly full takes a part
            os.lseek(self._descriptor, self._place + done, os.SEEK_SET)
            done += os.write(self._descriptor, content[done:])

    def readinto(self, buffer: Any) -> int:
        """Read from the current place; what lies behind the end is 0."""
        first, n = self._place, len(buffer)
        os.lseek(self._descriptor, first, os.SEEK_SET)
        content = bytearray(os.read(self._descriptor, n).ljust(n, b"\0"))
        for place, kept in self._kept:
            start, stop = max(first, place), min(first + n, place + len(kept))
            if start < stop:
                content[start - first : stop - first] = kept[start - place : stop - place]
        buffer[:] = content
        self._place += n
        return n

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place."""
        self._place = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence]
        return self._place

    def tell(self) -> int:
        """The current place."""
        return self._place

    def truncate(self, size: int | None = None) -> int:
        """Make the file as large as this."""
        self._size = self._place if size is None else size
        if self.error is None:
            try:
                os.ftruncate(self._descriptor, self._size)
            except OSError as error:
                self.error = error
        return self._size

    def close(self) -> None:
        """Close the file."""
        if not self.closed:
            os.close(self._descriptor)
        super().close()


class NewHdf5:
    """Context manager for a new HDF5 file, `file`; an error of the file system is raised by `check` and at the end.

    Raises
    ------
    OSError
        When the file cannot be made, or not everything could be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._raw = stack.enter_context(CarefulFile(self.path))
            self.file = stack.enter_context(h5py.File(self._raw, "w"))
            self._on_exit = stack.pop_all()
        return self

    def check(self) -> None:
        """Raise what the file system said, if it refused."""
        if self._raw.error is not None:
            raise self._raw.error

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        self._on_exit.__exit__(kind, error, traceback)
        if kind is None:
            self.check()
