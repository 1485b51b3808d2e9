"""Reading of messages in a separate thread as they arrive, so that the peer does not have to wait for a reconstruction."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import takewhile
from typing import Any, TypeAlias

import ismrmrd

from nilatron.pipelines.wire import Close, Message, PeerGoneError, WireError

_Batch: TypeAlias = tuple[deque[Message], int, float]  # messages received together, their bytes, and the time

log = logging.getLogger(__name__)

MIB = 1 << 20
_OVERHEAD_BYTES = 2048  # memory of the objects around the arrays of one item
_ARRAYS = (
    "data",
    "ref",
    "bits",
    "headers",
    "trajectories",
    "samples",
    "trajectory",
    "density",
    "content",
    "waveforms",
    "waveform",
    "acq_headers",
)


class EagerReader:
    """Iterator over the messages of a connection up to CLOSE, which a thread reads ahead.

    The thread stops reading while messages of more than `limit_bytes` are queued, so that the peer has to wait. Messages that
    are received together enter the queue together, however large they are.

    Parameters
    ----------
    receive
        Function that returns the next messages, or none at the end of the stream: `wire.Connection.receive_some`. Only the
        thread calls it.
    limit_bytes
        Memory for queued messages.

    Attributes
    ----------
    n_messages, n_bytes, peak_bytes
        Number of received messages without CLOSE, their memory, and the largest memory of queued messages.
    problem
        Why the stream ended without CLOSE; None if it has not.
    arrived_s
        Time, by `time.monotonic`, at which the message that was yielded last arrived; None before the first.
    ended_s
        Time at which the stream ended; None before.
    """

    def __init__(self, receive: Callable[[], Sequence[Message]], limit_bytes: int = 1024 * MIB) -> None:
        self.n_messages = self.n_bytes = self.peak_bytes = 0
        self.problem: WireError | None = None
        self.arrived_s: float | None = None
        self.ended_s: float | None = None
        self._receive, self._limit_bytes = receive, limit_bytes
        self._queue: deque[_Batch] = deque()
        self._queued_bytes = self._freed_bytes = 0  # freed bytes are still contained in the queued bytes
        self._ended = self._discarding = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, name="eager reader", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Message]:
        """All messages up to CLOSE.

        Raises
        ------
        WireError
            When reading failed; it is raised after the last complete message.
        """
        while batches := self._take():
            while batches:
                messages, n_bytes, self.arrived_s = batches.popleft()
                while messages:
                    yield messages.popleft()  # without a reference here, so that memory counted as free is free
                self._freed_bytes += n_bytes
                if self._freed_bytes > self._limit_bytes >> 4:
                    with self._changed:
                        self._release()
        if self.problem is not None:
            raise self.problem

    def limit(self, limit_bytes: int) -> None:
        """Memory for queued messages from now on."""
        with self._changed:
            self._limit_bytes = limit_bytes
            self._changed.notify_all()

    def discard(self, timeout_s: float, limit_bytes: int) -> bool:
        """Read and drop all further input until the stream ends; False if it did not end within these limits."""
        with self._changed:
            self._discarding = True
            self._queue.clear()
            self._queued_bytes, start = 0, self.n_bytes
            self._changed.notify_all()
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while not self._ended and self.n_bytes - start <= limit_bytes:
                if not self._changed.wait(max(0.0, deadline - time.monotonic())):
                    break
            return self._ended

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread, which ends soon after its connection is closed; returns whether it has ended."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _take(self) -> deque[_Batch]:
        """All queued messages, as soon as there are any; none at the end of the stream."""
        with self._changed:
            self._release()
            self._changed.wait_for(lambda: self._queue or self._ended or self._discarding)
            batches, self._queue = self._queue, deque()
            return batches

    def _release(self) -> None:
        was_full = self._queued_bytes > self._limit_bytes
        self._queued_bytes = max(0, self._queued_bytes - self._freed_bytes)
        self._freed_bytes = 0
        if was_full:
            self._changed.notify_all()

    def _read(self) -> None:
        try:
            while self._put(self._receive()):
                pass
        except WireError as error:
            self.problem = error
        except Exception as error:  # after any error the input must not look complete
            log.exception("reading failed")
            self.problem = WireError(f"the input cannot be read: {type(error).__name__}: {error}")
        finally:
            with self._changed:
                self.ended_s = time.monotonic()
                self._ended = True
                self._changed.notify_all()

    def _put(self, messages: Sequence[Message]) -> bool:
        """Queue the messages up to CLOSE and wait while the queue is full; returns whether to read on."""
        if not messages:
            raise PeerGoneError("the other end closed the connection without CLOSE: data may be missing")
        arrived_s = time.monotonic()
        new = deque(takewhile(lambda message: not isinstance(message, Close), messages))
        n_bytes = sum(map(memory_of, new))
        read_on = len(new) == len(messages)
        with self._changed:
            self.n_messages += len(new)
            self.n_bytes += n_bytes
            if self._discarding:
                self._changed.notify_all()
                return read_on
            was_empty = not self._queue
            if new:
                self._queue.append((new, n_bytes, arrived_s))
            self._queued_bytes += n_bytes
            self.peak_bytes = max(self.peak_bytes, self._queued_bytes)
            if was_empty:
                self._changed.notify_all()
            del messages, new  # while this waits, messages that are used elsewhere must be freed
            self._changed.wait_for(lambda: self._queued_bytes <= self._limit_bytes or self._discarding)
        return read_on


def memory_of(message: Any) -> int:
    """Memory of a message in bytes: its arrays and a small overhead."""
    if isinstance(message, ismrmrd.Acquisition):
        return int(message.data.nbytes + message.traj.nbytes) + _OVERHEAD_BYTES
    total, parts = _OVERHEAD_BYTES, [message]
    while parts:
        part = parts.pop()
        if isinstance(part, bytes | bytearray):
            total += len(part)
        elif isinstance(part, list | tuple):
            parts.extend(part)
        elif isinstance(n_bytes := getattr(part, "nbytes", None), int):
            total += n_bytes
        else:
            parts.extend(inner for name in _ARRAYS if (inner := getattr(part, name, None)) is not None)
    return total
