"""One end of a conversation over a socket."""

from __future__ import annotations

import logging
import select
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from nilatron.pipelines.wire.encode import encode
from nilatron.pipelines.wire.encoding_parts import Part
from nilatron.pipelines.wire.errors import PeerGoneError, WireError, WireTimeoutError
from nilatron.pipelines.wire.limits import DEFAULT_LIMITS, Limits
from nilatron.pipelines.wire.messages import Close, Error, Message
from nilatron.pipelines.wire.reader import MessageReader
from nilatron.pipelines.wire.source import SocketSource, read_to_end, time_value, wait_for

logger = logging.getLogger(__name__)

_PARTS_AT_ONCE = 512  # half of what Linux takes
_END_BYTES = 1 << 34


@dataclass(frozen=True)
class Timeouts:
    """Longest silences, in seconds.

    Attributes
    ----------
    message_s
        Inside a message, in either direction.
    idle_s
        Of the other end between messages; None waits for ever (a scanner may pause).
    end_s
        Until the other end has said everything, when this end has finished, and then until it has closed.
    """

    message_s: float = 60.0
    idle_s: float | None = None
    end_s: float = 60.0


DEFAULT_TIMEOUTS = Timeouts()


class Connection:
    """Messages to and from a connected socket, which it owns from now on.

    One thread may receive while others send; each message goes out whole.

    Parameters
    ----------
    sock
        Connected, with nothing read of a message that has begun.
    limits, timeouts
        What is accepted of the other end.
    """

    def __init__(
        self, sock: socket.socket, limits: Limits = DEFAULT_LIMITS, timeouts: Timeouts = DEFAULT_TIMEOUTS
    ) -> None:
        self.socket = sock
        self.limits = limits
        self.timeouts = timeouts
        self.peer_closed = False  # CLOSE or the end of the stream has come
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, time_value(timeouts.message_s))
        self._source = SocketSource(sock, timeouts.message_s, timeouts.idle_s)
        self._reader = MessageReader(self._source, limits)
        self._sending = threading.Lock()
        self._close_sent = False
        self._partly_sent = False  # a message went out in part, so nothing can follow it

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def accept_within(self, limits: Limits) -> None:
        """Take what the other end sends within these limits, from the next message on."""
        self.limits = self._reader.limits = limits

    def receive(self) -> Message | None:
        """The next message, `Close` among them; None when the other end closed the connection between messages.

        Raises
        ------
        WireError
            TruncatedError, WireTimeoutError, PeerGoneError, or bytes that are no message within the limits.
        """
        message = self._reader.read()
        if message is None or isinstance(message, Close):
            self.peer_closed = True
        return message

    def receive_some(self) -> list[Message]:
        """The next messages, those that have come already, but one at least; nothing at the end of the stream.

        Raises
        ------
        WireError
            As `receive`, after all that was whole.
        """
        messages = self._reader.read_some()
        if not messages or isinstance(messages[-1], Close):
            self.peer_closed = True
        return messages

    def __iter__(self) -> Iterator[Message]:
        """All messages up to CLOSE.

        Raises
        ------
        WireError
            As `receive`; PeerGoneError when the stream ended without CLOSE.
        """
        while (message := self.receive()) is not None:
            if isinstance(message, Close):
                return
            yield message
        raise PeerGoneError("the other end closed the connection without CLOSE: the data may be incomplete")

    def send(self, message: Message) -> None:
        """Send a message.

        Raises
        ------
        UnsendableError
            When no message can carry it; nothing was sent.
        WireTimeoutError, PeerGoneError
            When the other end takes no more.
        """
        parts = [part for part in encode(message) if len(part)]
        with self._sending:
            if self._partly_sent:
                raise PeerGoneError("an earlier message went out in part; nothing can follow it")
            self._partly_sent = True
            for start in range(0, len(parts), _PARTS_AT_ONCE):
                self._send_parts(parts[start : start + _PARTS_AT_ONCE])
            self._partly_sent = False
            self._close_sent |= isinstance(message, Close)

    def end(self, error: str | None = None) -> None:
        """End the conversation so that nothing is lost, and close.

        On success the rest of the input is read first; on failure ERROR goes first. Then CLOSE, and reading until the other
        end has closed, too: unread input at the time of closing would destroy what is still on its way. Each of the
        two readings ends after `Timeouts.end_s` and 16 GiB, whatever the other end sends. No other thread may be receiving.

        Raises
        ------
        WireError
            When the other end is gone, so that it may not have got everything; the socket is closed all the same.
        """
        try:
            if error is not None:
                self.send(Error.of(error))
            self._drain()
            if not self._close_sent:
                self.send(Close())
            self.socket.shutdown(socket.SHUT_WR)
            read_to_end(self.socket, self.timeouts.end_s, _END_BYTES)
        except OSError as problem:
            raise PeerGoneError(f"the connection broke while it was ended: {problem}") from None
        finally:
            self.close()

    def close(self) -> None:
        """Close at once; threads that wait on this connection get an error."""
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            logger.debug("the connection was closed already")
        self.socket.close()

    def _drain(self) -> None:
        self._source.stop_after(self.timeouts.end_s, _END_BYTES)
        try:
            while not self.peer_closed:
                self.receive()
        except WireError as problem:
            logger.warning("the rest of the input cannot be read: %s", problem)

    def _send_parts(self, parts: list[Part]) -> None:
        views = [memoryview(part).cast("B") for part in parts]
        since = time.monotonic()
        while views:
            try:
                n_sent = self.socket.sendmsg(views)
            except BlockingIOError:
                left_s = self.timeouts.message_s - (time.monotonic() - since)
                if not wait_for(self.socket, select.POLLOUT, left_s):
                    raise WireTimeoutError(f"the other end took nothing for {self.timeouts.message_s} s") from None
                continue
            except OSError as error:
                raise PeerGoneError(f"the connection broke while sending: {error}") from None
            since = time.monotonic()
            while views and n_sent >= len(views[0]):
                n_sent -= len(views.pop(0))
            if n_sent:
                views[0] = views[0][n_sent:]
