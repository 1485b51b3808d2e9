"""Types that are made of others: records, what may be absent, unions, lists, maps, enumerations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt

from nilatron.pipelines.mrd2.byte_sink import ByteSink
from nilatron.pipelines.mrd2.byte_source import ByteSource
from nilatron.pipelines.mrd2.codec import Codec, IntegerCodec, NumberCodec, Tagged
from nilatron.pipelines.wire.errors import LimitError, MalformedError, UnsendableError

# memory in bytes that Python takes for what holds the values
_FIELD_BYTES, _RECORD_BYTES, _ENTRY_BYTES, _NUMBER_BYTES = 96, 128, 128, 40

_FEW = 8  # numbers that are read faster one by one


class RecordCodec(Codec):
    """A record, as a dictionary by the names of the schema.

    On writing, fields that the dictionary lacks get their default, and what the schema lacks is left out.
    """

    def __init__(self, name: str, fields: Mapping[str, Codec]) -> None:
        self.name, self.fields = name, dict(fields)
        self.min_bytes = sum(codec.min_bytes for codec in self.fields.values())
        self._readers = [(field, codec.read) for field, codec in self.fields.items()]
        self._cost = _RECORD_BYTES + _FIELD_BYTES * len(self.fields)

    def read(self, source: ByteSource) -> dict[str, Any]:
        """All fields."""
        source.charge(self._cost, self.name)
        return {field: read(source) for field, read in self._readers}

    def write(self, sink: ByteSink, value: Any) -> None:
        """Append all fields."""
        if not isinstance(value, Mapping):
            raise UnsendableError(f"{value!r:.40} is no {self.name}")
        for field, codec in self.fields.items():
            try:
                codec.write(sink, value[field] if field in value else codec.default())
            except UnsendableError as error:
                raise UnsendableError(f"{field}: {error}") from None

    def default(self) -> dict[str, Any]:
        """All fields by their default."""
        return {field: codec.default() for field, codec in self.fields.items()}


class OptionalCodec(Codec):
    """A value or None."""

    def __init__(self, inner: Codec) -> None:
        self.inner = inner
        self._read = inner.read

    def read(self, source: ByteSource) -> Any:
        """One byte that says whether there is a value, and that."""
        present = source.byte()
        if present > 1:
            raise MalformedError(f"the byte that says whether there is a value must be 0 or 1, not {present}")
        return self._read(source) if present else None

    def write(self, sink: ByteSink, value: Any) -> None:
        """Append it."""
        sink.byte(value is not None)
        if value is not None:
            self.inner.write(sink, value)

    def default(self) -> None:
        """Return None."""


class UnionCodec(Codec):
    """A value of one of several types, or None where the first of them is null."""

    def __init__(self, cases: Sequence[tuple[str, Codec | None]]) -> None:
        self.cases = tuple(cases)
        self._place = {tag.lower(): place for place, (tag, _) in enumerate(self.cases)}

    def read(self, source: ByteSource) -> Tagged | None:
        """One byte that says which type, and the value."""
        place = source.byte()
        if place >= len(self.cases):
            raise MalformedError(f"kind {place} of a value that has {len(self.cases)} kinds")
        tag, codec = self.cases[place]
        return None if codec is None else Tagged(tag, codec.read(source))

    def knows(self, tag: str) -> bool:
        """Whether there is a type of this name, in whatever case."""
        return tag.lower() in self._place

    def write(self, sink: ByteSink, value: Any) -> None:
        """Append a `Tagged`, or None; the case of its tag does not matter."""
        tag = "null" if value is None else str(getattr(value, "tag", value))
        place = self._place.get(tag.lower())
        if place is None:
            known = ", ".join(name for name, _ in self.cases)
            raise UnsendableError(f"the schema has no {tag:.40}; it has {known}")
        sink.byte(place)
        codec = self.cases[place][1]
        if codec is not None:
            codec.write(sink, value.value)

    def default(self) -> Tagged | None:
        """The first type's default."""
        tag, codec = self.cases[0]
        return None if codec is None else Tagged(tag, codec.default())


class ListCodec(Codec):
    """A list; `length` is None where the stream tells it."""

    def __init__(self, items: Codec, length: int | None) -> None:
        self.items, self.length = items, length
        self.min_bytes = 1 if length is None else length * items.min_bytes

    def read(self, source: ByteSource) -> list[Any]:
        """All values, one by one: each takes memory as it comes."""
        count = source.varint() if self.length is None else self.length
        if isinstance(self.items, NumberCodec) and count > _FEW:
            source.charge(_NUMBER_BYTES * count, "a list")
            numbers: list[Any] = self.items.read_many(source, count, "a list").tolist()
            return numbers
        values, read = [], self.items.read
        for _ in range(count):
            source.charge(_FIELD_BYTES, "an entry of a list")
            values.append(read(source))
        return values

    def write(self, sink: ByteSink, value: Any) -> None:
        """Append all values."""
        if self.length is None:
            sink.varint(len(value))
        elif len(value) != self.length:
            raise UnsendableError(f"{len(value)} values in a list of {self.length}")
        for item in value:
            self.items.write(sink, item)

    def default(self) -> list[Any]:
        """Empty, or as many defaults as it must have."""
        return [self.items.default() for _ in range(self.length or 0)]


class MapCodec(Codec):
    """A dictionary."""

    def __init__(self, keys: Codec, values: Codec) -> None:
        self.keys, self.values = keys, values

    def read(self, source: ByteSource) -> dict[Any, Any]:
        """All entries."""
        entries = {}
        for _ in range(source.varint()):
            source.charge(_ENTRY_BYTES, "an entry of a map")
            key = self.keys.read(source)
            try:
                entries[key] = self.values.read(source)
            except TypeError:
                raise MalformedError("a map whose keys are no plain values") from None
        return entries

    def write(self, sink: ByteSink, value: Any) -> None:
        """Append all entries."""
        sink.varint(len(value))
        for key, inner in value.items():
            self.keys.write(sink, key)
            self.values.write(sink, inner)

    def default(self) -> dict[Any, Any]:
        """Empty."""
        return {}


class EnumCodec(NumberCodec):
    """A word out of a few, or a set of flags, as its number; `symbols` has the words."""

    def __init__(self, base: IntegerCodec, symbols: Mapping[str, int]) -> None:
        self.base, self.symbols = base, dict(symbols)
        self.words = {number: word for word, number in self.symbols.items()}
        self.dtype = base.dtype

    def read(self, source: ByteSource) -> int:
        """The number."""
        return self.base.read(source)

    def write(self, sink: ByteSink, value: Any) -> None:
        """Append the number."""
        self.base.write(sink, value)

    def read_many(self, source: ByteSource, count: int, what: str) -> npt.NDArray[Any]:
        """So many numbers."""
        return self.base.read_many(source, count, what)

    def write_many(self, sink: ByteSink, values: npt.NDArray[Any]) -> None:
        """Append the numbers."""
        self.base.write_many(sink, values)

    def default(self) -> int:
        """Zero, or the first word's number where zero is none of them."""
        return 0 if 0 in self.words or not self.words else next(iter(self.words))


def check_takes_bytes(codec: Codec, what: str) -> Codec:
    """The codec, if each of its values takes bytes: of others a few bytes could announce any number.

    Raises
    ------
    LimitError
        When a value may take none.
    """
    if codec.min_bytes < 1:
        raise LimitError(f"{what} of values that take no bytes")
    return codec
