"""Time budgets: what is left for a slice, how many sampler steps fit into it, and when to stop.

A slice begins when its last line arrives; the scan's budget begins when its last item has arrived. Posterior samples go
first, then sampler steps, and when not even `MIN_STEPS` fit, `OutOfTimeError` has the conventional image sent.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from nilatron.core.backend import Array, synchronize
from nilatron.gadgets.items import ScanTiming

MIN_STEPS = 3  # with 2 the image of a noisy scan is worse than CG-SENSE, with 3 it is 4 dB better
MIN_SAMPLES = 4  # a standard deviation of fewer says too little
PLANNED_SHARE = 0.9  # of the time left; the rest is for what varies from slice to slice
REMEMBERED = 4  # latest slices whose slowest is believed

Shape = tuple[int, ...]


class OutOfTimeError(RuntimeError):
    """The budget does not allow an image of the target any more."""


@dataclass(frozen=True)
class BudgetSettings:
    """Seconds that a reconstruction may take; 0 is without limit."""

    scan_budget_s: float = 0.0  # from the scan's last item to its last image
    slice_budget_s: float = 0.0  # from the last line of a slice to its images

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        for name in ("scan_budget_s", "slice_budget_s"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be 0 (no limit) or positive, got {getattr(self, name)}")

    @property
    def limited(self) -> bool:
        """Whether there is a budget at all."""
        return bool(self.scan_budget_s or self.slice_budget_s)


Settings = TypeVar("Settings", bound=BudgetSettings)


def budget_from_now(
    settings: Settings, timing: ScanTiming, arrived_s: float, n_slices: int, batch_size: int = 1
) -> Settings:
    """The settings with what is left of their budgets at this moment, for one slice or several at once.

    Parameters
    ----------
    settings
        With the budgets of a whole slice and scan.
    timing
        Clock, and when the scan's input ended.
    arrived_s
        When the (first) slice's last line came.
    n_slices
        That are still to be made, this one among them: as long as lines come, this slice may take the whole budget of the
        scan, afterwards they share what is left.
    batch_size
        Of them, in the run that is planned: it has all their shares.

    Returns
    -------
    Settings whose `slice_budget_s` is what may be planned with, and whose `scan_budget_s` is when to stop, both from now.

    Raises
    ------
    OutOfTimeError
        When nothing is left.
    """
    now = timing.clock()
    planned, stops = [], []
    if settings.slice_budget_s:
        planned.append(arrived_s + settings.slice_budget_s - now)
        stops.append(planned[0])
    if settings.scan_budget_s:
        ended = timing.ended_s is not None
        left = (timing.ended_s if timing.ended_s is not None else now) + settings.scan_budget_s - now
        planned.append(left * batch_size / max(batch_size, n_slices) if ended else left)
        stops.append(left)
    if not planned:
        return settings
    if min(planned) <= 0:
        raise OutOfTimeError(
            f"no time left: {now - arrived_s:.2f} s since the slice's last line, "
            f"slice_budget_s {settings.slice_budget_s:g}, scan_budget_s {settings.scan_budget_s:g}"
        )
    return replace(settings, slice_budget_s=min(planned), scan_budget_s=min(stops))


def n_slices_of(header: Any) -> int:
    """Images of a scan as its header announces them, one where it does not."""
    total = 0
    for encoding in getattr(header, "encoding", ()):
        count = 1
        for name in ("slice", "contrast", "phase", "repetition", "set"):
            limit = getattr(encoding.encodingLimits, name, None)
            count *= 1 if limit is None else int(limit.maximum) - int(limit.minimum) + 1
        total += max(1, count)
    return max(1, total)


@dataclass(frozen=True)
class StepCosts:
    """Seconds of a sampler step (network and data consistency) for k-space of a shape, batch first, as the latest had it."""

    recent: dict[Shape, deque[float]] = field(default_factory=lambda: defaultdict(lambda: deque(maxlen=REMEMBERED)))

    def add(self, shape: Shape, seconds: float) -> None:
        """Remember a measurement."""
        self.recent[shape].append(seconds)

    def step_s(self, shape: Shape) -> float | None:
        """The slowest of the latest; None for a shape that was never measured."""
        return max(self.recent[shape], default=None)


@dataclass(frozen=True)
class Plan:
    """What fits: sampler steps, posterior samples (0: none), and why not more."""

    steps: int
    samples: int = 0
    reason: str = ""


@dataclass(frozen=True)
class Stopwatch:
    """The budgets of one slice from the moment that this is made.

    Parameters
    ----------
    plan_s, stop_s
        Seconds to plan with and until the end; 0 is without limit.
    clock
        Seconds, from any origin.
    """

    plan_s: float
    stop_s: float
    clock: Callable[[], float]
    started_s: float = field(init=False)

    def __post_init__(self) -> None:
        """Start."""
        object.__setattr__(self, "started_s", self.clock())

    @property
    def limited(self) -> bool:
        """Whether there is a budget at all."""
        return bool(self.plan_s or self.stop_s)

    @property
    def elapsed_s(self) -> float:
        """Seconds so far."""
        return self.clock() - self.started_s

    def plan(self, step_s: float, steps: int, samples: int = 0, sample_s: float = 0.0) -> Plan:
        """What fits into the time left.

        Parameters
        ----------
        step_s, sample_s
            Seconds of a step of the image, and of a whole posterior sample.
        steps, samples
            Wanted.

        Raises
        ------
        OutOfTimeError
            When not even `MIN_STEPS` fit, or all steps if fewer are wanted.
        """
        if not self.plan_s:
            return Plan(steps, samples)
        left_s = PLANNED_SHARE * (self.plan_s - self.elapsed_s)
        said = f"{max(0.0, left_s):.2f} s of the budget are left, a step takes {step_s:.2f} s"
        least = min(MIN_STEPS, steps)
        fitting = steps if step_s <= 0 else int(min(steps, left_s // step_s))
        if left_s <= 0 or fitting < least:
            raise OutOfTimeError(f"{said}: not enough for {least} steps")
        if fitting < steps:
            return Plan(fitting, 0, f"{fitting} of {steps} steps{' and no samples' if samples else ''}: {said}")
        spare_s = left_s - steps * step_s
        kept = samples if sample_s <= 0 else int(min(samples, spare_s // sample_s))
        if kept < min(samples, MIN_SAMPLES):
            return Plan(steps, 0, f"no posterior samples: {said}")
        return Plan(steps, kept, f"{kept} of {samples} posterior samples: {said}" if kept < samples else "")

    def check(self, step: int, sigma: float, x: Array) -> None:
        """End a sampler whose time is over: its callback. On a GPU it first waits for the steps that are not done yet.

        Raises
        ------
        OutOfTimeError
            When it is.
        """
        del step, sigma
        if not self.stop_s:
            return
        synchronize(x)
        if self.elapsed_s >= self.stop_s:
            raise OutOfTimeError(f"stopped after {self.elapsed_s:.2f} s, {self.stop_s:.2f} s were left for it")
