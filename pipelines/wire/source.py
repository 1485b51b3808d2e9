"""Reading messages from sockets and files that block."""

from __future__ import annotations

import logging
import math
import select
import socket
import struct
import time
from collections.abc import Callable
from typing import BinaryIO, Protocol

from nilatron.pipelines.wire.decode import parse_message
from nilatron.pipelines.wire.errors import PeerGoneError, TruncatedError, WireTimeoutError
from nilatron.pipelines.wire.limits import DEFAULT_LIMITS, Limits
from nilatron.pipelines.wire.messages import Message

log = logging.getLogger(__name__)

_READ_AHEAD_BYTES = 1 << 14
_HEADER_BYTES = 1 << 9
_LARGE_BYTES = 1 << 12
_PIECE_BYTES = 1 << 18


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
        self._deadline_s = self._left_bytes = math.inf
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

    def scatter(self, views: list[memoryview], *, idle: bool) -> int:
        """Fill the views, one after the other, with what has come; how many bytes, 0 only at the end of the stream.

        `idle` and errors as in `fill`.
        """
        if not self._ahead:
            return self._wait(lambda: self._socket.recvmsg_into(views)[0], idle)
        n_filled = min(len(views[0]), len(self._ahead))
        views[0][:n_filled] = self._ahead[:n_filled]
        self._ahead = self._ahead[n_filled:]
        return n_filled

    def stop_after(self, seconds: float, n_bytes: int) -> None:
        """Take no more than so many bytes from now on, give or take a message, and no longer than so many seconds."""
        self._deadline_s, self._left_bytes = time.monotonic() + seconds, n_bytes

    def put_back(self, data: bytes) -> None:
        """Have these bytes read again, before all others."""
        self._ahead = memoryview(data + bytes(self._ahead))

    def _receive(self, view: memoryview, flags: int, idle: bool) -> int:
        return self._wait(lambda: self._socket.recv_into(view, 0, flags), idle)

    def _wait(self, receive: Callable[[], int], idle: bool) -> int:
        silent_since = time.monotonic()
        if silent_since > self._deadline_s or self._left_bytes <= 0:
            raise WireTimeoutError("the other end sends more than is waited for")
        timeout_s = self.idle_timeout_s if idle else self.timeout_s
        while True:
            try:
                n_bytes = receive()
                self._left_bytes -= n_bytes
                return n_bytes
            except BlockingIOError:
                now = time.monotonic()
                left_s = min(
                    math.inf if timeout_s is None else timeout_s - (now - silent_since), self._deadline_s - now
                )
                if not wait_for(self._socket, select.POLLIN, None if left_s == math.inf else left_s):
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


def read_to_end(sock: socket.socket, timeout_s: float, limit_bytes: int) -> None:
    """Read and forget until the other end closes, within the bounds.

    Raises
    ------
    OSError
        When the connection breaks.
    """
    deadline, n_bytes = time.monotonic() + timeout_s, 0
    sock.setblocking(False)
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    while n_bytes <= limit_bytes and (left_s := deadline - time.monotonic()) > 0:
        if not poll.poll(1000 * left_s):
            continue
        piece = sock.recv(_PIECE_BYTES)
        if not piece:
            return
        n_bytes += len(piece)
    log.warning("the other end did not close the connection within %g s and %d bytes", timeout_s, limit_bytes)


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
