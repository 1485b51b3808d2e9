"""What reads and writes values of one type of a schema; errors of values; the plain types."""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nilatron.pipelines.mrd2.byte_sink import ByteSink
from nilatron.pipelines.mrd2.byte_source import ByteSource
from nilatron.pipelines.mrd2.varints import folded, unfolded, varint_bytes
from nilatron.pipelines.wire.errors import MalformedError, UnsendableError


class Tagged(NamedTuple):
    """A value of a union, with the name of its kind."""

    tag: str
    value: Any


class Codec(ABC):
    """Reads and writes values of one type.

    Attributes
    ----------
    min_bytes
        Bytes of the shortest value.
    """

    min_bytes = 1

    @abstractmethod
    def read(self, source: ByteSource) -> Any:
        """The next value.

        Raises
        ------
        WireError
            TruncatedError, LimitError, or MalformedError for bytes that are no such value.
        """

    @abstractmethod
    def write(self, sink: ByteSink, value: Any) -> None:
        """Append a value.

        Raises
        ------
        UnsendableError
            When it is no value of this type.
        """

    @abstractmethod
    def default(self) -> Any:
        """A value for a field of which nothing is known: zero, empty, none."""


class NumberCodec(Codec):
    """A type whose values fill arrays of NumPy."""

    dtype: np.dtype[Any]

    @abstractmethod
    def read_many(self, source: ByteSource, count: int, what: str) -> npt.NDArray[Any]:
        """So many values, flat."""

    @abstractmethod
    def write_many(self, sink: ByteSink, values: npt.NDArray[Any]) -> None:
        """Append the values of a contiguous flat array of `dtype`."""

    def default(self) -> Any:
        """Zero."""
        return self.dtype.type(0).item()


class RawCodec(NumberCodec):
    """Floating-point and complex numbers, bytes and truth values, as they lie in memory (little endian)."""

    def __init__(self, dtype: str) -> None:
        self.dtype = np.dtype(dtype)
        self.min_bytes = self.dtype.itemsize
        self._layout = struct.Struct(f"<{self.dtype.itemsize}s")

    def read(self, source: ByteSource) -> Any:
        """One value, as a number of Python."""
        return self._checked(np.frombuffer(source.numbers(self._layout)[0], self.dtype))[0].item()

    def read_many(self, source: ByteSource, count: int, what: str) -> npt.NDArray[Any]:
        """So many values; the array is writable."""
        return self._checked(source.block(count * self.dtype.itemsize, what).view(self.dtype))

    def write(self, sink: ByteSink, value: Any) -> None:
        """Append one value."""
        try:
            sink.raw(np.array(value, self.dtype).tobytes())
        except (TypeError, ValueError, OverflowError):
            raise UnsendableError(f"{value!r:.40} is no {self.dtype}") from None

    def write_many(self, sink: ByteSink, values: npt.NDArray[Any]) -> None:
        """Append the bytes of the array."""
        sink.block(values.view(np.uint8))

    def _checked(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if self.dtype == np.bool_ and (values.view(np.uint8) > 1).any():
            raise MalformedError("a truth value that is neither 0 nor 1")
        return values


class FloatCodec(RawCodec):
    """A floating-point number; one alone is read and written without NumPy, since heads of lines hold many."""

    def __init__(self, dtype: str, layout: str) -> None:
        super().__init__(dtype)
        self._layout = struct.Struct(layout)

    def read(self, source: ByteSource) -> float:
        """One value."""
        value: float = source.numbers(self._layout)[0]
        return value

    def write(self, sink: ByteSink, value: Any) -> None:
        """Append one value."""
        try:
            sink.raw(self._layout.pack(value))
        except (struct.error, OverflowError):
            raise UnsendableError(f"{value!r:.40} is no {self.dtype}") from None


class IntegerCodec(NumberCodec):
    """Whole numbers of variable length, signed ones folded; times and dates are such numbers."""

    def __init__(self, dtype: str) -> None:
        self.dtype = np.dtype(dtype)
        limits = np.iinfo(self.dtype)
        self.lowest, self.highest = int(limits.min), int(limits.max)

    def read(self, source: ByteSource) -> int:
        """One value."""
        value = source.varint()
        if self.lowest < 0:
            value = (value >> 1) ^ -(value & 1)
        if not self.lowest <= value <= self.highest:
            raise MalformedError(f"{value} is no {self.dtype}")
        return value

    def read_many(self, source: ByteSource, count: int, what: str) -> npt.NDArray[Any]:
        """So many values."""
        raw = source.varints(count, what)
        values = unfolded(raw) if self.lowest < 0 else raw
        if count and not (self.lowest <= int(values.min()) and int(values.max()) <= self.highest):
            raise MalformedError(f"{what} holds numbers that are no {self.dtype}")
        return values.astype(self.dtype, copy=False)

    def write(self, sink: ByteSink, value: Any) -> None:
        """Append one value."""
        try:
            number = int(value)
        except (TypeError, ValueError):
            raise UnsendableError(f"{value!r:.40} is no {self.dtype}") from None
        if not self.lowest <= number <= self.highest:
            raise UnsendableError(f"{number} is no {self.dtype}")
        sink.varint((number << 1) ^ (number >> 63) if self.lowest < 0 else number)

    def write_many(self, sink: ByteSink, values: npt.NDArray[Any]) -> None:
        """Append the values."""
        sink.block(varint_bytes(folded(values) if self.lowest < 0 else values.astype(np.uint64)))


class TextCodec(Codec):
    """Text."""

    def read(self, source: ByteSource) -> str:
        """One text."""
        return source.text("a text")

    def write(self, sink: ByteSink, value: Any) -> None:
        """Append one text."""
        if not isinstance(value, str):
            raise UnsendableError(f"{value!r:.40} is no text")
        sink.text(value)

    def default(self) -> str:
        """Return the empty text."""
        return ""


PLAIN: dict[str, Codec] = {
    **{name: IntegerCodec(name) for name in ("int16", "uint16", "int32", "uint32", "int64", "uint64")},
    **{name: IntegerCodec("int64") for name in ("date", "time", "datetime")},
    "size": IntegerCodec("uint64"),
    "bool": RawCodec("?"),
    "int8": RawCodec("i1"),
    "uint8": RawCodec("u1"),
    "float32": FloatCodec("<f4", "<f"),
    "float64": FloatCodec("<f8", "<d"),
    "complexfloat32": RawCodec("<c8"),
    "complexfloat64": RawCodec("<c16"),
    "string": TextCodec(),
}
