"""MRD v2 streams and files: mark, version, schema, then what the schema says; streams inside in blocks.

"yardl" | int32 1 | schema as text | header | n, n items, n, n items, ..., 0
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from io import BufferedIOBase
from typing import Any, BinaryIO

from nilatron.pipelines.mrd2.byte_sink import ByteSink
from nilatron.pipelines.mrd2.byte_source import ByteSource
from nilatron.pipelines.mrd2.schema import SCHEMA_BYTES, Model, parse_model
from nilatron.pipelines.wire.errors import LimitError, MalformedError, TruncatedError, UnsendableError, UnsupportedError
from nilatron.pipelines.wire.limits import DEFAULT_LIMITS, Limits

MAGIC = b"yardl"
FORMAT_VERSION = 1
_BEGIN = struct.Struct("<5si")


class Reader:
    """Reads a stream: its model first, then its steps in their order.

    Parameters
    ----------
    file
        Nothing else may read from it.
    limits
        `message_bytes` bounds the memory of every value, and of every item of a stream.
    begun
        Bytes that were read of the file already.

    Raises
    ------
    WireError
        When it is no such stream, or its schema cannot be used.
    """

    def __init__(self, file: BufferedIOBase, limits: Limits = DEFAULT_LIMITS, begun: bytes = b"") -> None:
        self.source = ByteSource(file, limits, begun)
        mark, version = self.source.numbers(_BEGIN)
        if mark != MAGIC:
            raise MalformedError(f"an MRD v2 stream begins with {MAGIC!r}, not {mark!r}")
        if version != FORMAT_VERSION:
            raise UnsupportedError(f"version {version} of the binary format; this end knows {FORMAT_VERSION}")
        self.model = parse_model(self._schema())
        self._next = 0

    def value(self, name: str) -> Any:
        """The value of the next step, which must have this name."""
        return self._enter(name, is_stream=False).read(self.source)

    def items(self, name: str) -> Iterator[Any]:
        """The items of the stream that is the next step, each as soon as it is there."""
        codec = self._enter(name, is_stream=True)
        while n_items := self._block():
            for _ in range(n_items):
                self.source.begin_item()
                yield codec.read(self.source)

    def _enter(self, name: str, *, is_stream: bool) -> Any:
        step = self.model.step(name)
        if self.model.steps.index(step) != self._next or step.is_stream != is_stream:
            raise UnsupportedError(f"the protocol {self.model.protocol!r} does not have {name!r} in this place")
        self._next += 1
        self.source.begin_item()
        return step.codec

    def _block(self) -> int:
        try:
            return self.source.varint()
        except TruncatedError:
            raise TruncatedError("the stream ended without its mark of the end: data may be missing") from None

    def _schema(self) -> str:
        n_bytes = self.source.varint()
        if n_bytes > SCHEMA_BYTES:
            raise LimitError(f"a schema of {n_bytes} bytes; expected {SCHEMA_BYTES} at most")
        try:
            return self.source.block(n_bytes, "the schema").tobytes().decode()
        except UnicodeDecodeError:
            raise MalformedError("the schema is not UTF-8") from None


class Writer:
    """Writes a stream with a given model: as `Reader`, its steps in their order."""

    def __init__(self, file: BinaryIO, model: Model) -> None:
        self._file, self.model = file, model
        schema = model.text.encode()
        sink = ByteSink()
        sink.raw(_BEGIN.pack(MAGIC, FORMAT_VERSION))
        sink.varint(len(schema))
        sink.raw(schema)
        self._write(sink)

    def value(self, name: str, value: Any) -> None:
        """Write the value of a step.

        Raises
        ------
        UnsendableError
            When the schema cannot hold it; nothing was written.
        """
        self._encode(name, value, ByteSink())

    def item(self, name: str, item: Any) -> None:
        """Write one item of the stream of this name, as a block of its own; errors as `value`."""
        sink = ByteSink()
        sink.varint(1)
        self._encode(name, item, sink)

    def end_items(self) -> None:
        """Write the mark of the end of a stream."""
        self._file.write(b"\0")
        self._file.flush()

    def _encode(self, name: str, value: Any, sink: ByteSink) -> None:
        try:
            self.model.step(name).codec.write(sink, value)
        except (TypeError, AttributeError, KeyError) as error:
            raise UnsendableError(f"the {name} does not fit the schema: {type(error).__name__}: {error}") from error
        self._write(sink)

    def _write(self, sink: ByteSink) -> None:
        for part in sink.finish():
            self._file.write(part)
        self._file.flush()
