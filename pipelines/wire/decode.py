"""Bytes to messages: the table of parsers, and a decoder that is fed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from nilatron.pipelines.wire.errors import MalformedError, TruncatedError, UnknownMessageError, WireError
from nilatron.pipelines.wire.limits import DEFAULT_LIMITS, Budget, Limits
from nilatron.pipelines.wire.messages import (
    Close,
    Config,
    ConfigName,
    Dicom,
    Error,
    Header,
    Message,
    Query,
    Response,
    Text,
)
from nilatron.pipelines.wire.parse.bucket import read_bucket
from nilatron.pipelines.wire.parse.buffers import read_image_array, read_recon_data
from nilatron.pipelines.wire.parse.items import read_acquisition, read_image, read_waveform
from nilatron.pipelines.wire.parse.parts import Parser, read_bytes, read_length_prefixed, read_numbers
from nilatron.pipelines.wire.structures import CONFIG_NAME_BYTES, QUERY, RESPONSE, U32, U64, MessageId


def parse_message(limits: Limits) -> Parser[Message]:
    """The next message of a stream, as a parser (see `parsing`); the first view it wants is that of the message id.

    Raises
    ------
    WireError
        UnknownMessageError, LimitError (before anything is allocated) or MalformedError.
    """
    raw = bytearray(2)
    yield memoryview(raw)
    parser = _PARSERS.get(int.from_bytes(raw, "little"))
    if parser is None:
        known = ", ".join(f"{name.value} {name.name}" for name in MessageId)
        raise UnknownMessageError(int.from_bytes(raw, "little"), known)
    return (yield from parser(Budget(limits)))


def _config_name(_: Budget) -> Parser[ConfigName]:
    name, end, _rest = (yield from read_bytes(CONFIG_NAME_BYTES)).partition(b"\0")
    try:
        text = name.decode()
    except UnicodeDecodeError:
        raise MalformedError(f"the name of a configuration is not UTF-8: {bytes(name[:40])!r}") from None
    if not end:
        raise MalformedError(f"the name of a configuration has no NUL within {CONFIG_NAME_BYTES} bytes: {text[:40]!r}")
    return ConfigName(text)


def _config(budget: Budget) -> Parser[Config]:
    return Config((yield from read_length_prefixed(U32, "config_bytes", budget, "a configuration")))


def _header(budget: Budget) -> Parser[Header]:
    return Header((yield from read_length_prefixed(U32, "header_bytes", budget, "an ISMRMRD header")))


def _close(_: Budget) -> Parser[Close]:
    return Close()
    yield


def _text(budget: Budget) -> Parser[Text]:
    return Text((yield from read_length_prefixed(U32, "text_bytes", budget, "a text")))


def _error(budget: Budget) -> Parser[Error]:
    return Error((yield from read_length_prefixed(U64, "text_bytes", budget, "an error")))


def _query(budget: Budget) -> Parser[Query]:
    reserved, correlation_id, length = yield from read_numbers(QUERY)
    return Query(bytes((yield from _text_of(length, budget))), correlation_id, reserved)


def _response(budget: Budget) -> Parser[Response]:
    correlation_id, length = yield from read_numbers(RESPONSE)
    return Response(bytes((yield from _text_of(length, budget))), correlation_id)


def _text_of(length: int, budget: Budget) -> Parser[bytearray]:
    budget.check(length, "text_bytes", "bytes of a query or response")
    budget.take(2 * length, "a query or response")
    return (yield from read_bytes(length))


def _dicom(budget: Budget) -> Parser[Dicom]:
    content = yield from read_length_prefixed(U32, "message_bytes", budget, "a DICOM file")
    name = yield from read_length_prefixed(U64, "text_bytes", budget, "the name of a DICOM file")
    attributes = yield from read_length_prefixed(U64, "attributes_bytes", budget, "the attributes of a DICOM file")
    return Dicom(content, name, attributes)


_PARSERS: dict[int, Callable[[Budget], Parser[Any]]] = {
    MessageId.CONFIG_NAME: _config_name,
    MessageId.CONFIG: _config,
    MessageId.HEADER: _header,
    MessageId.CLOSE: _close,
    MessageId.TEXT: _text,
    MessageId.QUERY: _query,
    MessageId.RESPONSE: _response,
    MessageId.ERROR: _error,
    MessageId.ACQUISITION: read_acquisition,
    MessageId.DICOM: _dicom,
    MessageId.IMAGE: read_image,
    MessageId.RECON_DATA: read_recon_data,
    MessageId.IMAGE_ARRAY: read_image_array,
    MessageId.WAVEFORM: read_waveform,
    MessageId.BUCKET: read_bucket,
}


class Decoder:
    """Messages out of pieces of a stream, however it is cut; each byte is copied once, into its place.

    Parameters
    ----------
    limits
        Bounds on what is taken in.
    """

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._pieces: deque[memoryview] = deque()
        self._parser: Parser[Message] | None = None
        self._wanted = memoryview(b"")
        self._fault: WireError | None = None

    @property
    def between_messages(self) -> bool:
        """Whether everything so far was whole messages."""
        return self._parser is None and not self._pieces

    def feed(self, data: bytes | bytearray | memoryview) -> Iterator[Message]:
        """Add the next piece of the stream; iterate to get the messages that are complete with it.

        The piece must not change until the iteration is over; what is not iterated comes with the next piece.

        Raises
        ------
        WireError
            While iterating, after the messages in front of the fault, and from then on.
        """
        if len(data):
            self._pieces.append(memoryview(data).cast("B"))
        return self._messages()

    def finish(self) -> None:
        """The stream is over.

        Raises
        ------
        TruncatedError
            When it ended inside a message.
        """
        if not self.between_messages:
            raise TruncatedError("the stream ended inside a message")

    def _messages(self) -> Iterator[Message]:
        if self._fault is not None:
            raise self._fault
        while self._pieces:
            if self._parser is None:
                self._parser = parse_message(self._limits)
                self._wanted = next(self._parser)
            piece = self._pieces.popleft()
            count = min(len(piece), len(self._wanted))
            self._wanted[:count] = piece[:count]
            if count < len(piece):
                self._pieces.appendleft(piece[count:])
            self._wanted = self._wanted[count:]
            if not self._wanted:
                try:
                    self._wanted = next(self._parser)
                except StopIteration as end:
                    self._parser = None
                    yield end.value
                except WireError as error:
                    self._fault = error
                    self._pieces.clear()
                    raise
