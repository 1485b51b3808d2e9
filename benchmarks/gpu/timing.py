"""Seconds of a call on a device: warm, and from an idle device to an idle device."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from gpu.size import Size

WARM_UPS = 2
LEAST_ROUNDS = 3


@dataclass(frozen=True)
class Times:
    """Seconds of several calls."""

    seconds: tuple[float, ...]

    @property
    def median_ms(self) -> float:
        """Of all."""
        return 1e3 * statistics.median(self.seconds)

    @property
    def worst_ms(self) -> float:
        """Of the slowest."""
        return 1e3 * max(self.seconds)


@dataclass(frozen=True)
class Stopwatch:
    """Times calls.

    Attributes
    ----------
    wait
        Returns when the device has done all that was queued: launching work takes less time than the work.
    size
        How often.
    clock
        Seconds.
    """

    wait: Callable[[], None]
    size: Size
    clock: Callable[[], float] = time.perf_counter

    def times(self, call: Callable[[], object]) -> Times:
        """Warm up, then time call after call, each with the device idle before and after."""
        for _ in range(WARM_UPS):
            call()
        taken: list[float] = []
        while len(taken) < LEAST_ROUNDS or (len(taken) < self.size.rounds and sum(taken) < self.size.row_s):
            taken.append(self.once(call))
        return Times(tuple(taken))

    def once(self, call: Callable[[], object]) -> float:
        """Seconds of one call, as it is."""
        self.wait()
        began = self.clock()
        call()
        self.wait()
        return self.clock() - began
