"""Reading messages from sockets and files that block."""

from __future__ import annotations

import select
import socket
import struct
import time
from typing import BinaryIO, Protocol

from nilatron.pipelines.wire.decode import parse_message
from nilatron.pipelines.wire.errors import PeerGoneError, TruncatedError, WireTimeoutError
from nilatron.pipelines.wire.limits import DEFAULT_LIMITS, Limits
from nilatron.pipelines.wire.messages import Message

_READ_AHEAD_BYTES = 1 << 14
_HEADER_BYTES = 1 << 9
_LARGE_BYTES = 1 << 12


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
    """A socket, for reading with time-outs. Large arrays are filled by the system itself, headers from a small buffer.

    Parameters
    ----------
    sock
        Connected; it becomes blocking, and only this object may receive from it from now on.
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
        self._window = _READ_AHEAD_BYTES
        sock.settimeout(None)
        wake_up_s = min(1.0, timeout_s, idle_timeout_s or 1.0)  # the system's own time-out: no further call per message
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, time_value(wake_up_s))

    def fill(self, view: memoryview, *, idle: bool) -> int:
        """Fill the view (see `Source`).

        Raises
        ------
        WireTimeoutError
            When the other end stays silent.
        PeerGoneError
            When the connection breaks.
        """
        n_filled = min(len(self._ahead), len(view))
        if n_filled:
            view[:n_filled] = self._ahead[:n_filled]
            self._ahead = self._ahead[n_filled:]
        while n_filled < len(view):
            rest = view[n_filled:]
            if len(rest) >= _LARGE_BYTES:
                n_received = self._receive(rest, socket.MSG_WAITALL, idle and not n_filled)
                self._window = _HEADER_BYTES  # what is read ahead of large arrays has to be copied
            else:
                window = self._buffer[: self._window]
                self._ahead = window[: self._receive(window, 0, idle and not n_filled)]
                self._window = min(2 * self._window, _READ_AHEAD_BYTES)
                n_received = min(len(self._ahead), len(rest))
                rest[:n_received] = self._ahead[:n_received]
                self._ahead = self._ahead[n_received:]
            if not n_received:
                break
            n_filled += n_received
        return n_filled

    def _receive(self, view: memoryview, flags: int, idle: bool) -> int:
        silent_since = time.monotonic()
        timeout_s = self.idle_timeout_s if idle else self.timeout_s
        while True:
            try:
                return self._socket.recv_into(view, 0, flags)
            except BlockingIOError:
                left_s = None if timeout_s is None else timeout_s - (time.monotonic() - silent_since)
                if not wait_for(self._socket, select.POLLIN, left_s):
                    where = "between messages" if idle else "inside a message"
                    raise WireTimeoutError(f"nothing came from the other end for {timeout_s} s, {where}") from None
            except OSError as error:
                raise PeerGoneError(f"the connection broke while reading: {error}") from None


def time_value(seconds: float) -> bytes:
    """C's `struct timeval`."""
    microseconds = max(1000, round(1e6 * seconds))
    return struct.pack("@ll", *divmod(microseconds, 1_000_000))


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
        return bool(poll.poll(None if timeout_s is None else 1000 * max(0.0, timeout_s)))
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
