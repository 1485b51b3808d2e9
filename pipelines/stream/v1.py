"""MRD v1 on a pipe: the messages of the socket, without a configuration; the header goes first, CLOSE last."""

from __future__ import annotations

import io
import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any, BinaryIO

from nilatron.pipelines.wire import (
    Close,
    Config,
    ConfigName,
    FileSource,
    Header,
    Limits,
    MalformedError,
    Message,
    PeerGoneError,
    Query,
    Text,
    encode,
    read_message,
)
from nilatron.pipelines.wire.limits import DEFAULT_LIMITS

log = logging.getLogger(__name__)

_BEFORE_HEADER = (Config, ConfigName, Text, Query)


class _Begun(io.RawIOBase):
    """A file of which some bytes were read already."""

    def __init__(self, begun: bytes, file: io.BufferedIOBase) -> None:
        self._begun, self._file = begun, file

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill as much of the buffer as there is."""
        if not self._begun:
            return self._file.readinto(buffer)
        n_bytes = min(len(self._begun), len(buffer))
        buffer[:n_bytes], self._begun = self._begun[:n_bytes], self._begun[n_bytes:]
        return n_bytes


class Incoming:
    """The messages of a stream.

    Parameters
    ----------
    file, begun
        The stream, and what was read of it.
    limits
        What is accepted.

    Attributes
    ----------
    header
        Header of the scan as XML.
    left_out
        What of the stream is not handed on.

    Raises
    ------
    WireError
        When no header comes.
    """

    def __init__(self, file: io.BufferedIOBase, begun: bytes = b"", limits: Limits = DEFAULT_LIMITS) -> None:
        self._source, self._limits = FileSource(_Begun(begun, file)), limits  # type: ignore[arg-type]
        self.left_out = Counter[str]()
        self.header = self._read_header()

    def receive_some(self) -> Sequence[Message]:
        """The next message.

        Raises
        ------
        WireError
            When it cannot be read, or the stream ended without CLOSE.
        """
        message = read_message(self._source, self._limits)
        if message is None:
            raise PeerGoneError("the stream ended without CLOSE: data may be missing")
        return [message]

    def _read_header(self) -> bytes:
        while True:
            (message,) = self.receive_some()
            if isinstance(message, Header):
                return message.content
            if not isinstance(message, _BEFORE_HEADER):
                raise MalformedError(f"a {type(message).__name__} came before the header of the scan")
            log.info("a %s came before the header: not used, the chain is that of -c", type(message).__name__)


class Outgoing:
    """Writes the messages of a stream."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def begin(self, header: bytes) -> None:
        """Write the header, as XML."""
        self.send(Header(header))

    def send(self, message: Message) -> None:
        """Write one message, whole.

        Raises
        ------
        UnsendableError
            When no message can carry it; nothing was written.
        OutputError
            When nobody reads it any more, or the disk is full.
        """
        for part in encode(message):
            if len(part):
                self._file.write(part)

    def end(self) -> None:
        """Write CLOSE."""
        self.send(Close())
