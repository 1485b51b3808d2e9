"""The connection of one scan: a `wire.Connection` that knows who is at its other end."""

from __future__ import annotations

import socket
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

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
    """

    def __init__(self, sock: socket.socket, limits: Limits, timeouts: Timeouts, shared: SharedState) -> None:
        super().__init__(sock, limits, timeouts)
        self.shared = shared
        self.timing = ScanTiming()
        self.gone: WireError | None = None
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
        """As in `wire.Connection`."""
        if self._put_back:
            message = self._put_back.popleft()
            return [] if message is None else [message]
        with self._noted():
            messages = super().receive_some()
        self._seen(messages[-1] if messages else None)
        return messages

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
