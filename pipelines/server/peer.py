"""The connection of one scan: a `wire.Connection` that knows who is at its other end."""

from __future__ import annotations

import select
import socket
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import ismrmrd

from nilatron.gadgets.items import ScanTiming
from nilatron.pipelines.server.caller import Caller, SharedState, for_caller
from nilatron.pipelines.wire import Connection, Error, Limits, Message, PeerGoneError, Text, Timeouts, WireError


class PeerConnection(Connection):
    """Errors in the words of the caller, messages that can be put back, and a look at the other end from any thread.

    Attributes
    ----------
    shared
        What the front sees.
    timing
        When the input ended.
    gone
        Why nothing can be expected of the other end any more, once that is so.
    let_in
        Set once data may come; until then nothing is received behind the opening.
    """

    def __init__(self, sock: socket.socket, limits: Limits, timeouts: Timeouts, shared: SharedState) -> None:
        super().__init__(sock, limits, timeouts)
        self.shared = shared
        self.timing = ScanTiming()
        self.gone: WireError | None = None
        self.let_in = threading.Event()
        self._half_closed = False
        self._put_back: deque[Message] = deque()
        self._flag = threading.Lock()

    @property
    def live(self) -> bool:
        """Whether the scan is still being acquired."""
        return not self.peer_closed

    def put_back(self, message: Message) -> None:
        """Have `receive` return this message next."""
        self._put_back.append(message)

    def receive(self) -> Message | None:
        """As in `wire.Connection`."""
        if self._put_back:
            return self._put_back.popleft()
        with self._noted():
            message = super().receive()
        return self._seen(message)

    def receive_some(self) -> list[Message]:
        """As in `wire.Connection`, once data may come."""
        self.let_in.wait()
        if self._put_back:
            message = self._put_back.popleft()
            return [] if message is None else [message]
        with self._noted():
            messages = super().receive_some()
        self._seen(messages[-1] if messages else None)
        return messages

    def close(self) -> None:
        """As in `wire.Connection`."""
        self.let_in.set()
        super().close()

    def why_gone(self) -> WireError | None:
        """Why nobody waits for images any more, None as long as someone may; to be asked again and again.

        Behind CLOSE a peer may have ended its direction and still wait for images, though no client of ISMRMRD is known to. One
        that has left does not answer as one that waits: see `probe`.
        """
        if self.gone is None and not self._closed_here:
            events = events_of(self.socket)
            if events & (select.POLLHUP | select.POLLERR):
                self.gone = PeerGoneError("the other end has hung up")
            elif events & select.POLLRDHUP and not self._half_closed:
                self._half_closed = True
                probe(self.socket)
        return self.gone

    @property
    def _closed_here(self) -> bool:
        return self._close_sent or self.socket.fileno() < 0

    @contextmanager
    def _noted(self) -> Iterator[None]:
        """Remember what breaks."""
        try:
            yield
        except WireError as error:
            self.gone = error
            raise

    def _seen(self, message: Message | None) -> Message | None:
        """Remember how and when the input ended."""
        if self.peer_closed and self.timing.ended_s is None:
            self.timing.ended_s = self.timing.clock()
        if message is None:
            self.gone = PeerGoneError("the other end closed the connection without CLOSE")
        return message

    def send(self, message: Message) -> None:
        """As in `wire.Connection`; ERROR becomes TEXT where the caller does not know it."""
        if isinstance(message, Error) and self.shared.caller in (Caller.CLIENT, Caller.FIRE):
            message = Text.of(for_caller(self.shared.caller, "ERR", message.text))
        with self._flag:
            self.shared.sending = True
            super().send(message)
            self.shared.sending = False
            self.shared.images += isinstance(message, ismrmrd.Image)


def events_of(sock: socket.socket) -> int:
    """What the system knows of the other end: that it has ended its direction, or is gone; 0 once it is closed here."""
    poll = select.poll()
    try:
        poll.register(sock, select.POLLRDHUP)
        return sum(events for _, events in poll.poll(0))
    except (OSError, ValueError):
        return 0


def probe(sock: socket.socket) -> None:
    """Find out whether a peer that has ended its direction still exists: where it does not, its system resets the connection.

    One byte beside the stream, which receivers drop unless they ask for it, is answered so at once where nobody is left behind
    the connection; it may be sent once, because a second one would turn the first into data. Should the peer leave later, the
    system finds out, which asks every few seconds, within about a minute, or the next image does.
    """
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    for name, value in (("TCP_KEEPIDLE", 5), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):  # some systems lack it
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    with suppress(OSError):  # what waits to be sent asks the same
        sock.send(b"\0", socket.MSG_OOB | socket.MSG_DONTWAIT)
