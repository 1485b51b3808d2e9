"""Messages read by a thread of their own as they come, so that the other end never waits for a reconstruction."""

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

_Waiting: TypeAlias = tuple[deque[Message], int, float]  # what came at once, its memory, and when

log = logging.getLogger(__name__)

MIB = 1 << 20
_OVERHEAD_BYTES = 2048  # of the objects around the arrays of one item
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
    """Iterate to get the messages of a connection up to CLOSE.

    The thread reads ahead until `limit_bytes` wait, and then lets the other end wait; what came at once passes at once,
    however large.

    Parameters
    ----------
    receive
        The next messages, one at least, or none at the end of the stream: `wire.Connection.receive_some`. Called by the
        thread alone.
    limit_bytes
        Of memory for messages that wait.

    Attributes
    ----------
    n_messages, n_bytes, peak_bytes
        Received without CLOSE, their memory, and the largest that waited at one time.
    problem
        Why the stream ended without CLOSE, None as long as it did not.
    arrived_s
        When the message came that was handed over last, by `time.monotonic`; None before the first.
    ended_s
        When the stream ended; None as long as it has not.
    """

    def __init__(self, receive: Callable[[], Sequence[Message]], limit_bytes: int = 1024 * MIB) -> None:
        self.n_messages = self.n_bytes = self.peak_bytes = 0
        self.problem: WireError | None = None
        self.arrived_s: float | None = None
        self.ended_s: float | None = None
        self._receive, self._limit_bytes = receive, limit_bytes
        self._waiting: deque[_Waiting] = deque()
        self._waiting_bytes = self._used_bytes = 0  # the latter are counted among the former still
        self._ended = self._discarding = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, name="eager reader", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Message]:
        """All messages up to CLOSE.

        Raises
        ------
        WireError
            What stopped the reading; it comes after everything that was whole.
        """
        while batches := self._take():
            while batches:
                messages, n_bytes, self.arrived_s = batches.popleft()
                while messages:
                    yield messages.popleft()  # and not kept: its memory is free before it is counted as free
                self._used_bytes += n_bytes
                if self._used_bytes > self._limit_bytes >> 4:
                    with self._changed:
                        self._release()
        if self.problem is not None:
            raise self.problem

    def discard(self, timeout_s: float, limit_bytes: int) -> bool:
        """Read on, and forget what comes, until the stream ends; False if it did not within these bounds."""
        with self._changed:
            self._discarding = True
            self._waiting.clear()
            self._waiting_bytes, start = 0, self.n_bytes
            self._changed.notify_all()
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while not self._ended and self.n_bytes - start <= limit_bytes:
                if not self._changed.wait(max(0.0, deadline - time.monotonic())):
                    break
            return self._ended

    def join(self, timeout_s: float) -> bool:
        """Whether the thread has ended, which it does soon after its connection is closed."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _take(self) -> deque[_Waiting]:
        """Everything that waits; nothing at the end of the stream."""
        with self._changed:
            self._release()
            self._changed.wait_for(lambda: self._waiting or self._ended or self._discarding)
            batches, self._waiting = self._waiting, deque()
            return batches

    def _release(self) -> None:
        was_full = self._waiting_bytes > self._limit_bytes
        self._waiting_bytes = max(0, self._waiting_bytes - self._used_bytes)
        self._used_bytes = 0
        if was_full:
            self._changed.notify_all()

    def _read(self) -> None:
        try:
            while self._keep(self._receive()):
                pass
        except WireError as error:
            self.problem = error
        except Exception as error:  # whatever it is, the input must not look complete
            log.exception("reading failed")
            self.problem = WireError(f"the input cannot be read: {type(error).__name__}: {error}")
        finally:
            with self._changed:
                self.ended_s = time.monotonic()
                self._ended = True
                self._changed.notify_all()

    def _keep(self, messages: Sequence[Message]) -> bool:
        """Whether there is more to come."""
        if not messages:
            raise PeerGoneError("the other end closed the connection without CLOSE: data may be missing")
        arrived_s = time.monotonic()
        new = deque(takewhile(lambda message: not isinstance(message, Close), messages))
        n_bytes = sum(map(memory_of, new))
        go_on = len(new) == len(messages)
        with self._changed:
            self.n_messages += len(new)
            self.n_bytes += n_bytes
            if self._discarding:
                self._changed.notify_all()
                return go_on
            were_none = not self._waiting
            if new:
                self._waiting.append((new, n_bytes, arrived_s))
            self._waiting_bytes += n_bytes
            self.peak_bytes = max(self.peak_bytes, self._waiting_bytes)
            if were_none:
                self._changed.notify_all()
            del messages, new  # what is used while this waits must not live on here
            self._changed.wait_for(lambda: self._waiting_bytes <= self._limit_bytes or self._discarding)
        return go_on


def memory_of(message: Any) -> int:
    """Bytes of the arrays of a message, and a little for what is around them."""
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
