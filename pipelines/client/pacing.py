"""Sending items at the times at which the scanner acquired them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any

log = logging.getLogger(__name__)

TICK_S = 0.0025  # unit of time stamps
STAMP_RANGE = 1 << 32
MAX_PAUSE_S = 10.0  # longer gaps are pauses between a noise scan and the scan


def paced(
    items: Iterable[Any],
    clock: Callable[[], float],
    wait: Callable[[float], object],
    max_pause_s: float = MAX_PAUSE_S,
) -> Iterator[Any]:
    """The items, each yielded at the time of its time stamp, relative to the first one.

    The schedule is the sum of the differences between neighbouring time stamps, so that it does not drift; items that are
    late are yielded at once. Stamps that stay the same or jump back add nothing (unset stamps are 0, and counters that start
    at midnight jump back); a 32-bit counter may wrap around.

    Parameters
    ----------
    items
        `ismrmrd.Acquisition` and `ismrmrd.Waveform`.
    clock, wait
        Functions that return the time in seconds, from any origin, and that pause for some seconds.
    max_pause_s
        Longer pauses are shortened to this.
    """
    previous, due_s, started_s = None, 0.0, None
    for item in items:
        stamp = time_stamp(item)
        if started_s is None:
            started_s = clock()
        if previous is not None:
            due_s += min(max_pause_s, TICK_S * ticks_between(previous, stamp))
        if stamp:
            previous = stamp
        left_s = started_s + due_s - clock()
        if left_s > 0:
            wait(left_s)
        yield item
    if not due_s:
        log.warning("the time stamps of the raw data do not advance, so everything was sent at once")


def time_stamp(item: Any) -> int:
    """Time stamp of a line or a waveform, in ticks."""
    return int(item.acquisition_time_stamp if hasattr(item, "acquisition_time_stamp") else item.time_stamp)


def ticks_between(previous: int, stamp: int) -> int:
    """Ticks from one time stamp to the next; 0 if `stamp` is unset or earlier than `previous`."""
    difference = (stamp - previous) % STAMP_RANGE
    return difference if stamp and difference < STAMP_RANGE // 2 else 0
