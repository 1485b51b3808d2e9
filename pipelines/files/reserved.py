"""A file for HDF5, which does not survive a write that fails: it ends in a segmentation fault when it flushes or closes.

Room is reserved before anything is written, so that a full disk is found while the file is still sound. Should a write fail all
the same, its bytes are kept in memory, HDF5 sees no failure, and `check` raises it afterwards.
"""

from __future__ import annotations

import io
import os
from pathlib import Path

ZEROS = bytes(1 << 16)


class ReservedFile(io.RawIOBase):
    """New file at `path`, to be given to `h5py.File`.

    Raises
    ------
    OSError
        When the file exists or cannot be made.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        self._position = self._end = 0
        self._kept: list[tuple[int, bytes]] = []  # what came since the first failure, with its positions
        self._error: OSError | None = None

    def reserve(self, n_bytes: int) -> None:
        """Have room for `n_bytes` more.

        Raises
        ------
        OSError
            When there is none; the file is as it was.
        """
        self.check()
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(self._fd, self._end, n_bytes)
            else:
                self._fill(n_bytes)
        except OSError as error:
            os.ftruncate(self._fd, self._end)
            raise OSError(error.errno, os.strerror(error.errno or 0), str(self.path)) from error

    @property
    def sound(self) -> bool:
        """Whether all that was written is in the file."""
        return self._error is None

    def check(self) -> None:
        """Raise the first error of a write, if there was one: the file is spoilt then."""
        if self._error is not None:
            raise self._error

    def readable(self) -> bool:
        """True."""
        return True

    def writable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a position."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._end}[whence]
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        """The position."""
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read bytes, those that could not be written among them; zeros behind the end."""
        view = memoryview(buffer).cast("B")
        os.lseek(self._fd, self._position, os.SEEK_SET)
        found = b""
        while len(found) < len(view) and (part := os.read(self._fd, len(view) - len(found))):
            found += part
        view[:] = found.ljust(len(view), b"\0")
        for start, content in self._kept:
            first, last = max(start, self._position), min(start + len(content), self._position + len(view))
            if first < last:
                view[first - self._position : last - self._position] = content[first - start : last - start]
        self._position += len(view)
        return len(view)

    def write(self, content: memoryview) -> int:  # type: ignore[override]
        """Write all bytes; an error is kept for `check`."""
        view = memoryview(content).cast("B")
        n_written = 0
        try:
            os.lseek(self._fd, self._position, os.SEEK_SET)
            while self.sound and n_written < len(view):
                n_written += os.write(self._fd, view[n_written:])
        except OSError as error:
            self._error = error
        if not self.sound:
            self._kept.append((self._position, bytes(view)))
        self._position += len(view)
        self._end = max(self._end, self._position)
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        """Set the length; an error is kept for `check`."""
        self._end = self._position if size is None else size
        try:
            os.ftruncate(self._fd, self._end)
        except OSError as error:
            self._error = self._error or error
        return self._end

    def close(self) -> None:
        """Close the file."""
        if not self.closed:
            os.close(self._fd)
        super().close()

    def _fill(self, n_bytes: int) -> None:
        os.lseek(self._fd, self._end, os.SEEK_SET)
        for start in range(0, n_bytes, len(ZEROS)):
            os.write(self._fd, ZEROS[: n_bytes - start])
