"""Reading messages from sockets and files that block."""

from __future__ import annotations

import select
import socket
from typing import BinaryIO, Protocol

from nilatron.pipelines.wire.decode import parse_message
from nilatron.pipelines.wire.errors import PeerGoneError, TruncatedError, WireTimeoutError
from nilatron.pipelines.wire.limits import DEFAULT_LIMITS, Limits
from nilatron.pipelines.wire.messages import Message

_READ_AHEAD_BYTES = 1 << 14


class Source(Protocol):
    """Where bytes come from."""

    def fill(self, view: memoryview, *, idle: bool) -> int:
        """Fill the view, and return how many bytes it holds now: fewer than it is long only at the end of the stream.

        `idle` says that nothing of a message was read yet.
        """


class FileSource:
    """A file, or anything else that has `readinto`."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def fill(self, view: memoryview, *, idle: bool) -> int:  # noqa: ARG002 - files are never silent
        """Fill the view (see `Source`)."""
        n_filled = 0
        while n_filled < len(view):
            count = self._file.readinto(view[n_filled:])  # type: ignore[attr-defined]
            if not count:
                break
            n_filled += count
        return n_filled


class SocketSource:
    """A socket, which becomes non-blocking. Large arrays are filled by the system itself, headers from a small buffer.

    Parameters
    ----------
    sock
        Connected; only this object may receive from it from now on.
    timeout_s
        Longest silence inside a message, in seconds.
    idle_timeout_s
        Longest silence between messages, in seconds; None waits for ever.
    """

    def __init__(self, sock: socket.socket, timeout_s: float, idle_timeout_s: float | None) -> None:
        self._socket = sock
        self.timeout_s, self.idle_timeout_s = timeout_s, idle_timeout_s
        self._buffer = memoryview(bytearray(_READ_AHEAD_BYTES))
        self._ahead = self._buffer[:0]
        sock.setblocking(False)

    def fill(self, view: memoryview, *, idle: bool) -> int:
        """Fill the view (see `Source`).

        Raises
        ------
        WireTimeoutError
            When the other end stays silent.
        PeerGoneError
            When the connection breaks.
        """
        n_ahead = min(len(self._ahead), len(view))
        if n_ahead:
            view[:n_ahead] = self._ahead[:n_ahead]
            self._ahead = self._ahead[n_ahead:]
        n_filled = n_ahead
        while n_filled < len(view):
            rest = view[n_filled:]
            n_received = self._receive(rest, idle and not n_filled)
            if not n_received:
                break
            if n_received > len(rest):
                self._ahead = self._buffer[: n_received - len(rest)]
                return len(view)
            n_filled += n_received
        return n_filled

    def _receive(self, rest: memoryview, idle: bool) -> int:
        while True:
            try:
                return self._socket.recvmsg_into([rest, self._buffer])[0]
            except BlockingIOError:
                self._wait(self.idle_timeout_s if idle else self.timeout_s, idle)
            except OSError as error:
                raise PeerGoneError(f"the connection broke while reading: {error}") from None

    def _wait(self, timeout_s: float | None, idle: bool) -> None:
        if not wait_for(self._socket, select.POLLIN, timeout_s):
            where = "between messages" if idle else "inside a message"
            raise WireTimeoutError(f"nothing came from the other end for {timeout_s} s, {where}")


def wait_for(sock: socket.socket, event: int, timeout_s: float | None) -> bool:
    """Whether a socket got ready (or broke) in time.

    Raises
    ------
    PeerGoneError
        When it was closed at this end.
    """
    try:
        poll = select.poll()
        poll.register(sock, event)
        return bool(poll.poll(None if timeout_s is None else 1000 * timeout_s))
    except (OSError, ValueError) as error:
        raise PeerGoneError(f"the connection was closed: {error}") from None


def read_message(source: Source, limits: Limits = DEFAULT_LIMITS) -> Message | None:
    """The next message; None when the stream ended between messages.

    Raises
    ------
    WireError
        TruncatedError when it ended inside a message; what the source and `decode.parse_message` raise.
    """
    parser = parse_message(limits)
    wanted = next(parser)
    idle = True
    while True:
        n_filled = source.fill(wanted, idle=idle)
        if n_filled < len(wanted):
            if idle and not n_filled:
                return None
            raise TruncatedError("the stream ended inside a message")
        idle = False
        try:
            wanted = next(parser)
        except StopIteration as end:
            return end.value
