"""Bytes of a stream or file, taken in order, within what one item may cost."""

from __future__ import annotations

import os
import stat
import struct
from io import BufferedIOBase
from typing import Any

import numpy as np
import numpy.typing as npt

from nilatron.pipelines.mrd2.varints import MAX_VARINT_BYTES, varints_in
from nilatron.pipelines.wire.errors import MalformedError, TruncatedError
from nilatron.pipelines.wire.limits import DEFAULT_LIMITS, Budget, Limits

_PIECE_BYTES = 1 << 16
MAX_UINT64 = (1 << 64) - 1


class ByteSource:
    """Takes numbers, texts and blocks of samples from a file or pipe; it reads ahead only what has come already.

    Parameters
    ----------
    file
        Nothing else may read from it.
    limits
        `message_bytes` bounds the memory of one item, `begin_item` says when the next one begins.
    begun
        Bytes that were read of the file already.
    """

    def __init__(self, file: BufferedIOBase, limits: Limits = DEFAULT_LIMITS, begun: bytes = b"") -> None:
        self.limits = limits
        self._file, self._data, self._at = file, begun, 0
        self._unread_bytes = _bytes_left(file)  # None: a pipe
        self.budget = Budget(limits)

    def begin_item(self) -> None:
        """From here on another item takes memory."""
        self.budget = Budget(self.limits)

    def charge(self, n_bytes: int, what: str) -> None:
        """Set memory aside for something that is about to be made.

        Raises
        ------
        LimitError
            When the item would take more than `Limits.message_bytes`.
        """
        self.budget.take(n_bytes, what)

    def byte(self) -> int:
        """The next byte."""
        if self._at == len(self._data):
            self._read_more()
        value = self._data[self._at]
        self._at += 1
        return value

    def varint(self) -> int:
        """The next number of up to 64 bits, 7 of them in a byte, the lowest first.

        Raises
        ------
        MalformedError
            When it has more bits.
        """
        byte = self.byte()
        if byte < 0x80:
            return byte
        value, shift = byte & 0x7F, 7
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
            if shift >= 7 * MAX_VARINT_BYTES:
                raise MalformedError("a number of more than 64 bits")
        if value > MAX_UINT64:
            raise MalformedError("a number of more than 64 bits")
        return value

    def varints(self, count: int, what: str) -> npt.NDArray[np.uint64]:
        """So many numbers as `varint` takes them."""
        self._check_left(count, what)
        self.charge(8 * count, what)
        values = np.empty(count, np.uint64)
        n_done = 0
        while n_done < count:
            if self._at == len(self._data):
                self._read_more()
            found, n_bytes = varints_in(np.frombuffer(self._data, np.uint8, offset=self._at), count - n_done)
            values[n_done : n_done + len(found)] = found
            n_done += len(found)
            self._at += n_bytes
            if n_done < count and self._at < len(self._data):
                self._read_more()
        return values

    def numbers(self, layout: struct.Struct) -> tuple[Any, ...]:
        """Numbers of a fixed layout."""
        while len(self._data) - self._at < layout.size:
            self._read_more()
        values = layout.unpack_from(self._data, self._at)
        self._at += layout.size
        return values

    def block(self, n_bytes: int, what: str) -> npt.NDArray[np.uint8]:
        """So many bytes, writable."""
        self._check_left(n_bytes, what)
        self.charge(n_bytes, what)
        block = np.empty(n_bytes, np.uint8)
        n_filled = min(n_bytes, len(self._data) - self._at)
        block[:n_filled] = np.frombuffer(self._data, np.uint8, n_filled, self._at)
        self._at += n_filled
        while n_filled < n_bytes:
            n_read = self._file.readinto(block.data[n_filled:])
            if not n_read:
                raise TruncatedError(f"the stream ended inside {what}")
            self._count(n_read)
            n_filled += n_read
        return block

    def text(self, what: str) -> str:
        """A length and so many bytes of UTF-8."""
        n_bytes = self.varint()
        self.budget.check(n_bytes, "header_bytes", f"bytes of {what}")
        self.charge(4 * n_bytes + 64, what)
        try:
            return self.block(n_bytes, what).tobytes().decode()
        except UnicodeDecodeError:
            raise MalformedError(f"{what} is not UTF-8") from None

    def _check_left(self, n_bytes: int, what: str) -> None:
        """See that a file has so many bytes, before anything is made for them."""
        if self._unread_bytes is not None and n_bytes > self._unread_bytes + len(self._data) - self._at:
            raise TruncatedError(f"the file ends inside {what}")

    def _read_more(self) -> None:
        piece = self._file.read1(_PIECE_BYTES)
        if not piece:
            raise TruncatedError("the stream ended where more had to come")
        self._count(len(piece))
        self._data, self._at = self._data[self._at :] + piece, 0

    def _count(self, n_bytes: int) -> None:
        if self._unread_bytes is not None:
            self._unread_bytes -= n_bytes


def _bytes_left(file: BufferedIOBase) -> int | None:
    """Bytes from here to the end of a file; None for a pipe, and where that is not known."""
    try:
        state = os.fstat(file.fileno())
        return state.st_size - file.tell() if stat.S_ISREG(state.st_mode) else None
    except (OSError, AttributeError):
        return None
