"""How far a piece of work has come: a bar on a terminal, elsewhere a line in the log now and then."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from nilatron.core.words import shown

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

log = logging.getLogger(__name__)

LOG_EVERY_S = 10.0


@dataclass
class Bar:
    """Progress of one piece of work after the other; a context manager.

    Parameters
    ----------
    console
        Where it is shown; None: nowhere.
    clock
        Seconds, from any origin.
    """

    console: Console | None
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        """Nothing has been done yet."""
        self._shown: Progress | None = None
        self._unit, self._began_s, self._done_before, self._found = "", 0.0, 0.0, 0.0
        self._told_s = self.clock()
        self._last = (0.0, 0.0, "")  # done, total, words
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        if self.console is not None and self.console.is_terminal:
            from rich.progress import BarColumn, Progress, TextColumn

            words = TextColumn("{task.description}", markup=False)
            self._shown = Progress(BarColumn(), words, console=self.console, transient=True)
            self._task = self._shown.add_task("")
            self._shown.start()
        elif self.console is not None:
            log.setLevel(logging.INFO)  # who has no terminal reads it in the log, whatever else is told there
            threading.Thread(target=self._tell_of_silence, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self._shown is not None:
            self._shown.stop()

    def update(self, done: float, total: float, unit: str, words: str = "", *, found: float = 0.0) -> None:
        """Show that `done` of `total` units are done; another unit than before is another piece of work.

        Parameters
        ----------
        words
            What is being done, in front of the numbers.
        found
            Units among those done that an earlier run has left, which say nothing about the time that the others take.
        """
        if self.console is None:
            return
        now_s = self.clock()
        if unit != self._unit or done < self._done_before:
            self._unit, self._began_s, self._done_before = unit, now_s, done
        self._last, self._found = (done, total, words), found
        if self._shown is not None:
            told = shown(self._told(done, total, now_s, words))
            self._shown.update(self._task, completed=done, total=total or None, description=told)
        elif now_s - self._told_s >= LOG_EVERY_S:
            self._told_s = now_s
            log.info("%s", self._told(done, total, now_s, words))

    def _tell_of_silence(self) -> None:
        """Tell every now and then that work goes on, though nothing new is done."""
        while not self._ended.wait(LOG_EVERY_S):
            self.tell_of_silence()

    def tell_of_silence(self) -> None:
        """Tell what is being done, if nothing has been told for so long."""
        now_s = self.clock()
        if now_s - self._told_s >= LOG_EVERY_S and self._unit:
            self._told_s = now_s
            log.info("%s, for %s", self._told(*self._last[:2], now_s, self._last[2]), duration(now_s - self._began_s))

    def _told(self, done: float, total: float, now_s: float, words: str) -> str:
        parts = [f"{done:g} of {total:g} {self._unit}"] if total else [f"{done:g} {self._unit}"] if done else []
        gone_s, fresh = now_s - self._began_s, done - self._done_before - self._found
        if gone_s > 0 and fresh > 0:
            rate = fresh / gone_s
            parts.append(f"{rate:.3g} {self._unit}/s" if rate >= 1 else f"{1 / rate:.3g} s each")
            if total:
                parts.append(f"{duration(max(0.0, total - done) / rate)} left")
        return ", ".join([words, *parts] if words else parts)


def duration(seconds: float) -> str:
    """A time in words."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
