"""MRD v2 on a pipe: items of v2 as those of v1, and back, in the schema that came."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.mrd2.codec import Tagged
from nilatron.pipelines.mrd2.header import header_record, header_xml
from nilatron.pipelines.mrd2.items import v1_item, v2_item
from nilatron.pipelines.mrd2.protocol import Reader, Writer
from nilatron.pipelines.mrd2.schema import Model
from nilatron.pipelines.wire import Close, Limits, MalformedError, Message, UnsendableError, UnsupportedError, WireError
from nilatron.pipelines.wire.limits import DEFAULT_LIMITS

PROTOCOL = "Mrd"


def model_in(path: Path) -> Model:
    """The model of a stream of MRD v2 in a file.

    Raises
    ------
    InputError
        When the file is none.
    """
    try:
        with path.open("rb") as file:
            model = Reader(file).model
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except WireError as error:
        raise InputError(f"{path}: {error}; expected an MRD v2 stream, whose schema the output gets") from None
    if model.protocol != PROTOCOL:
        raise InputError(f"{path}: a stream of {model.protocol!r}; expected that of a scan, {PROTOCOL!r}")
    return model


class Incoming:
    """The items of a stream, as messages of v1.

    Parameters
    ----------
    file, begun
        The stream, and what was read of it.
    limits
        What is accepted.

    Attributes
    ----------
    model
        The stream's own.
    header_record, header
        Header of the scan, and the same as XML of v1.
    left_out
        What of the stream is not handed on.

    Raises
    ------
    WireError
        When it is no stream of a scan, or has no header.
    """

    def __init__(self, file: io.BufferedIOBase, begun: bytes = b"", limits: Limits = DEFAULT_LIMITS) -> None:
        reader = Reader(file, limits, begun)
        self.model = reader.model
        if self.model.protocol != PROTOCOL:
            raise UnsupportedError(f"a stream of {self.model.protocol!r}; expected that of a scan, {PROTOCOL!r}")
        self.header_record: dict[str, Any] = reader.value("header")
        if self.header_record is None:
            raise MalformedError("the stream has no header")
        self.header = header_xml(self.header_record, self.model.step("header").codec)
        self.left_out = Counter[str]()
        self._items = reader.items("data")

    def receive_some(self) -> Sequence[Message]:
        """The next item that v1 has, or CLOSE.

        Raises
        ------
        WireError
            When it cannot be read, or the stream ended without its mark.
        """
        for item in self._items:
            if not isinstance(item, Tagged):
                raise MalformedError("the items of the stream are of one kind alone")
            if (made := v1_item(item, self.left_out)) is not None:
                return [made]
        return [Close()]


class Outgoing:
    """Writes items of v1 as a stream of a model.

    Parameters
    ----------
    file
        Nothing else may write into it.
    model
        Whose schema the stream gets.
    header_record
        Header that came in a stream of the same model, which goes out as it is; None: made of that of v1.
    """

    def __init__(self, file: BinaryIO, model: Model, header_record: dict[str, Any] | None = None) -> None:
        self._file, self.model, self._record = file, model, header_record
        self._writer: Writer | None = None

    def begin(self, header: bytes) -> None:
        """Write schema and header, given as XML.

        Raises
        ------
        MalformedError, UnsendableError
            When the schema cannot hold it.
        """
        record = self._record or header_record(header, self.model.step("header").codec)
        self._writer = Writer(self._file, self.model)
        self._writer.value("header", record)

    def send(self, message: Message) -> None:
        """Write one item.

        Raises
        ------
        UnsendableError
            When the schema has no such item; nothing was written.
        OutputError
            When nobody reads it any more, or the disk is full.
        """
        if self._writer is None:
            raise UnsendableError("nothing can be sent before the header")
        self._writer.item("data", v2_item(message))

    def end(self) -> None:
        """Write the mark of the end, if the stream has begun."""
        if self._writer is not None:
            self._writer.end_items()
