"""Bytes of one item, collected before any of them is written."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Part: TypeAlias = bytearray | memoryview
_LARGE_BYTES = 1 << 12


class ByteSink:
    """Collects numbers, texts and blocks of samples; large blocks stay views of the arrays that they are of."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self._open = bytearray()

    def byte(self, value: int) -> None:
        """One byte."""
        self._open.append(value)

    def varint(self, value: int) -> None:
        """A number from 0 to 2^64 - 1."""
        while value >= 0x80:
            self._open.append(value & 0x7F | 0x80)
            value >>= 7
        self._open.append(value)

    def raw(self, data: bytes) -> None:
        """Bytes as they are."""
        self._open += data

    def text(self, value: str) -> None:
        """Length and UTF-8."""
        encoded = value.encode(errors="surrogateescape")
        self.varint(len(encoded))
        self._open += encoded

    def block(self, data: npt.NDArray[np.uint8]) -> None:
        """The bytes of an array."""
        if data.nbytes < _LARGE_BYTES:
            self._open += data.tobytes()
            return
        self.finish()
        self.parts.append(data.data)

    def finish(self) -> list[Part]:
        """All parts, in their order."""
        if self._open:
            self.parts.append(self._open)
            self._open = bytearray()
        return self.parts
