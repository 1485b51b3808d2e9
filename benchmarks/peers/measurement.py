"""What is measured of a method, and how it is timed."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

SLOW_S = 10.0  # a first call that takes longer is the measurement itself


@dataclass(frozen=True)
class RunSettings:
    """Of every method: the network's weights, how often a quick one is repeated, divisor of the long ones' steps."""

    weights: Path
    rounds: int = 5
    shorten: int = 1

    def steps(self, n_steps: int) -> int:
        """Steps of a run of more than 100, shortened where asked for."""
        return n_steps // self.shorten if n_steps > 100 else n_steps


@dataclass(frozen=True)
class Measurement:
    """A method on a case.

    Attributes
    ----------
    seconds, rounds
        Median over so many calls; start of the program, loading of weights and a first call not counted.
    psnr_db
        In the foreground.
    n_evaluations, n_products
        Of the network; A^H A applied, where that is known.
    full_share
        Of this work, if coarser images count as their share of the pixels.
    map_error, per_second
        NRMSE of coil maps; lines or images.
    peak_bytes
        Of a program that the method starts; that of this process is taken at its end.
    note
        What had to be chosen or changed.
    """

    seconds: float
    rounds: int = 1
    psnr_db: float | None = None
    n_evaluations: int = 0
    n_products: int | None = None
    full_share: float = 1.0
    map_error: float | None = None
    per_second: float | None = None
    peak_bytes: float | None = None
    note: str = ""


def timed(call: Callable[[], T], rounds: int) -> tuple[T, float, int]:
    """Result, median seconds and number of calls timed: all after the first, or the first alone where it is slow."""
    result, seconds = once(call)
    if seconds > SLOW_S:
        return result, seconds, 1
    taken = [once(call)[1] for _ in range(rounds)]
    return result, statistics.median(taken), rounds


def once(call: Callable[[], T]) -> tuple[T, float]:
    """Result and seconds of one call."""
    started = time.perf_counter()
    result = call()
    return result, time.perf_counter() - started
