"""Items at the times at which the scanner took them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any

log = logging.getLogger(__name__)

TICK_S = 0.0025  # of time stamps
STAMP_RANGE = 1 << 32
LONGEST_PAUSE_S = 10.0  # longer gaps are those between a noise scan and its scan


def paced(
    items: Iterable[Any],
    clock: Callable[[], float],
    wait: Callable[[float], object],
    longest_s: float = LONGEST_PAUSE_S,
) -> Iterator[Any]:
    """Hand on every item when its time has come, counted from the first one.

    The schedule is the sum of the differences between neighbouring time stamps, so that it does not drift; what falls
    behind is handed on at once. Stamps that stay the same or jump back add nothing (unset stamps are 0, and counters that
    start at midnight jump back); a 32-bit counter that wraps goes on.

    Parameters
    ----------
    items
        `ismrmrd.Acquisition` and `ismrmrd.Waveform`.
    clock, wait
        Seconds, from any origin; a pause of so many seconds.
    longest_s
        Pauses are cut to this.
    """
    previous, due_s, started_s = None, 0.0, None
    for item in items:
        stamp = stamp_of(item)
        if started_s is None:
            started_s = clock()
        if previous is not None:
            due_s += min(longest_s, TICK_S * forward(previous, stamp))
        if stamp:
            previous = stamp
        left_s = started_s + due_s - clock()
        if left_s > 0:
            wait(left_s)
        yield item
    if not due_s:
        log.warning("the time stamps of the raw data do not advance, so everything was sent at once")


def stamp_of(item: Any) -> int:
    """Time stamp of a line or a waveform, in ticks."""
    return int(item.acquisition_time_stamp if hasattr(item, "acquisition_time_stamp") else item.time_stamp)


def forward(previous: int, stamp: int) -> int:
    """Ticks from one stamp to the next; 0 where it is unset or went back."""
    difference = (stamp - previous) % STAMP_RANGE
    return difference if stamp and difference < STAMP_RANGE // 2 else 0
