"""When to stop before the last step: a signal, or the time that was given."""

from __future__ import annotations

import logging
import signal
import threading
import time
from types import FrameType
from typing import Self

log = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopCondition:
    """Says when to stop; inside its block SIGTERM and Ctrl-C only ask for it. The same signal again acts at once.

    Parameters
    ----------
    minutes
        Of wall clock from now; None: as long as it takes.
    """

    def __init__(self, minutes: float | None = None) -> None:
        self._deadline = None if minutes is None else time.monotonic() + 60 * minutes
        self._signal: int | None = None
        self._before: dict[int, object] = {}

    @property
    def is_out_of_time(self) -> bool:
        """Whether the time that was given is the reason to stop, and no signal."""
        return self._signal is None and self.reason is not None

    @property
    def reason(self) -> str | None:
        """Why to stop, or None."""
        if self._signal is not None:
            return signal.Signals(self._signal).name
        if self._deadline is not None and time.monotonic() >= self._deadline:
            return "the time is over"
        return None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # handlers can be set there only
            self._before = {number: signal.signal(number, self._ask) for number in SIGNALS}
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _ask(self, number: int, frame: FrameType | None) -> None:
        del frame
        self._signal = number
        signal.signal(number, self._before[number])  # type: ignore[arg-type]
        log.warning("%s: this step is finished and saved, then training stops", signal.Signals(number).name)
