"""Messages from a socket, those that have come already at once."""

from __future__ import annotations

from collections import deque

import ismrmrd

from nilatron.pipelines.wire.errors import TruncatedError
from nilatron.pipelines.wire.limits import Limits
from nilatron.pipelines.wire.lines.memory import SlabMemory
from nilatron.pipelines.wire.lines.slab import MAX_LINES, LineSlab, Sizes, lines_in_a_slab, sizes_of
from nilatron.pipelines.wire.messages import Message
from nilatron.pipelines.wire.source import SocketSource, read_message


class MessageReader:
    """Reads every message as it comes, until two readouts of the same size follow each other.

    From then on it takes the next ones for the same, and lets the system put many into their places in one call
    (`LineSlab`). Where it was wrong, the bytes go back to the source, and it reads one message at a time again.

    Parameters
    ----------
    source
        Nothing of a message that has begun was read.
    limits
        What is accepted, from the next message on; a line in the place of a like one is within them.
    """

    def __init__(self, source: SocketSource, limits: Limits) -> None:
        self._source, self.limits = source, limits
        self._ready: deque[Message] = deque()
        self._before: Sizes | None = None  # of the last message that was read alone, if that was a line
        self._expecting: Sizes | None = None  # of the lines to come
        self._slab: LineSlab | None = None
        self._memory = SlabMemory()
        self._window = 1  # lines that are asked of the system at once

    def read(self) -> Message | None:
        """The next message; None at the end of the stream, between messages.

        Raises
        ------
        WireError
            As `source.read_message`.
        """
        if not self._ready:
            self._ready.extend(self._read())
        return self._ready.popleft() if self._ready else None

    def read_some(self) -> list[Message]:
        """The next messages, one at least; nothing at the end of the stream.

        Raises
        ------
        WireError
            As `source.read_message`, after everything that was whole.
        """
        if not self._ready:
            return self._read()
        some = list(self._ready)
        self._ready.clear()
        return some

    def _read(self) -> list[Message]:
        if self._expecting is not None and (some := self._read_lines(self._expecting)) is not None:
            return some
        message = read_message(self._source, self.limits)
        sizes = sizes_of(message) if isinstance(message, ismrmrd.Acquisition) else None
        self._expecting = sizes if sizes == self._before else None
        self._before = sizes
        return [] if message is None else [message]

    def _read_lines(self, sizes: Sizes) -> list[Message] | None:
        """Lines as expected, nothing at the end of the stream, None when something else comes."""
        slab = self._current_slab(sizes)
        while slab is not None:
            if lines := slab.take_lines():
                self._window = min(2 * self._window, MAX_LINES)
                if slab.full:
                    self._slab = None
                return lines
            if slab.contradicted():
                self._source.put_back(slab.take_back())
                break
            idle = slab.between_messages
            n_received = self._source.scatter(slab.room(self._window), idle=idle)
            if not n_received:
                if idle:
                    return []
                raise TruncatedError("the stream ended inside a message")
            slab.received(n_received)
        self._expecting, self._before, self._window = None, None, 1
        return None

    def _current_slab(self, sizes: Sizes) -> LineSlab | None:
        if self._slab is None or self._slab.sizes != sizes:
            n_lines = lines_in_a_slab(sizes, self.limits.message_bytes)
            self._slab = LineSlab(sizes, n_lines, self._memory) if n_lines else None
        return self._slab
