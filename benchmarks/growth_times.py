"""Seconds of coil maps, CG-SENSE and Nila, each on its own, over sizes of simulated scans; and their exponents."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from nilatron.core.prior.weights import shipped_weights
from nilatron.core.recon import inverse_problem
from nilatron.gadgets.accumulate import Accumulator
from nilatron.gadgets.items import Context, KSpaceSlice
from nilatron.gadgets.nila.method import run_nila
from nilatron.gadgets.nila.settings import NilaNodeSettings
from nilatron.gadgets.noise import NoiseSettings, Whitening
from nilatron.gadgets.problem import Problem
from nilatron.gadgets.sensitivities import with_maps
from nilatron.pipelines.files.raw import open_raw
from nilatron.pipelines.simulation.simulate import SimulationSettings, simulate
from report import Cell

BASE = SimulationSettings(matrix=(128, 128, 1), n_coils=8, acceleration=3, noise_std=0.05)
TOLERANCE = 0.25  # of an exponent: larger arrays leave the caches
AT_LEAST_S = 0.1  # of what is shorter, the median of as many repetitions
STEPS = NilaNodeSettings()

Seconds: TypeAlias = Mapping[str, Mapping[str, Mapping[int, Sequence[float]]]]
"""Of what is varied, stage and size, one of each round."""


@dataclass(frozen=True)
class Growth:
    """What is varied.

    Attributes
    ----------
    sizes
        From small to large.
    scan
        Of a size.
    expected
        Exponents that the number of operations gives, by stage; other stages are not timed.
    axis
        What the exponent refers to.
    """

    sizes: tuple[int, ...]
    scan: Callable[[int], SimulationSettings]
    expected: Mapping[str, float]
    axis: Callable[[int], float] = float


def evaluations(n_samples: int) -> float:
    """Network evaluations of a slice."""
    return STEPS.steps + n_samples * STEPS.steps_each(error_known=True)


LINEAR = {"maps": 1.0, "CG-SENSE": 1.0, "Nila": 1.0}
GROWTHS = {
    "slices": Growth((1, 2, 4, 8, 16), lambda n: replace(BASE, n_slices=n), LINEAR),
    # ESPIRiT: the eigenvectors of a matrix of (36 coils)^2, and for each pixel those of coils^2
    "coils": Growth((4, 8, 16, 32), lambda n: replace(BASE, n_coils=n), LINEAR | {"maps": 3.0}),
    # Fourier transforms: n^2 log n, which is n^2.2 between these sizes
    "matrix": Growth(
        (64, 96, 128, 192, 256, 384),
        lambda n: replace(BASE, matrix=(n, n, 1)),
        {"maps": 2.0, "CG-SENSE": 2.2, "Nila": 2.0},
    ),
    "samples": Growth((0, 2, 4, 8), lambda _: BASE, {"Nila": 1.0}, evaluations),
}


def measure(growths: Mapping[str, Growth], priors: Sequence[str], n_rounds: int) -> Seconds:
    """Every stage at every size; all sizes take turns, from small to large and back in the next round."""
    with tempfile.TemporaryDirectory() as folder:
        cases = [
            (name, size, *case(growth.scan(size), Path(folder)))
            for name, growth in growths.items()
            for size in growth.sizes
        ]
    found: dict[str, dict[str, dict[int, list[float]]]] = {name: {} for name in growths}
    for number in range(n_rounds + 1):
        began = time.perf_counter()
        for name, size, items, context in cases[:: -1 if number % 2 else 1]:
            stages = set(growths[name].expected)
            for stage, spent in stage_seconds(items, context, priors, size if name == "samples" else 0).items():
                if number and kind(stage) in stages:  # round 0 pays for loading weights and choosing kernels
                    points = found[name].setdefault(stage, {n: [] for n in growths[name].sizes})
                    points[size].append(spent)
        print(f"round {number} of {n_rounds}: {time.perf_counter() - began:.0f} s", file=sys.stderr)
    return found


def kind(stage: str) -> str:
    """A stage without its prior."""
    return stage.partition(",")[0]


def case(settings: SimulationSettings, folder: Path) -> tuple[list[KSpaceSlice], Context]:
    """The whitened slices of a simulated scan."""
    raw = folder / "raw.h5"
    simulate(raw, settings)
    with open_raw(raw) as file:
        context = Context(file.header)
        whitening = Whitening(NoiseSettings())
        lines = whitening.lines(file.items(), context)
        items = list(whitening.slices(Accumulator()(lines, context), context))
    raw.unlink()
    return items, context


def stage_seconds(
    items: Sequence[KSpaceSlice], context: Context, priors: Sequence[str], n_samples: int
) -> dict[str, float]:
    """Seconds of each stage for all slices, which go through it one after the other, each until `AT_LEAST_S` are over."""
    spent: dict[str, float] = defaultdict(float)

    def timed(stage: str, function: Callable[..., Any], *arguments: object) -> Any:
        times: list[float] = []
        while sum(times) < AT_LEAST_S:
            began = time.perf_counter()
            result = function(*arguments)
            times.append(time.perf_counter() - began)
        spent[stage] += statistics.median(times)
        return result

    settings = STEPS
    if n_samples:
        settings = replace(settings, series=("nila", "uncertainty"), samples=n_samples)
    for item in items:
        mapped = timed("maps", with_maps, item, context)
        started = timed("CG-SENSE", inverse_problem, mapped.kspace, mapped.counts, mapped.coil_maps)
        for prior in priors:
            problem = Problem.of(started, np.random.default_rng(0), weights=shipped_weights(prior))
            timed(f"Nila, {prior}", run_nila, problem, settings)
    return dict(spent)


def exponents(seconds: Seconds, growths: Mapping[str, Growth]) -> list[dict[str, Cell]]:
    """A row for each stage and what was varied: median seconds, and the exponents of the rounds, which share their load."""
    rows: list[dict[str, Cell]] = []
    for name, stages in seconds.items():
        for stage, points in stages.items():
            n_rounds = len(next(iter(points.values())))
            powers = [
                exponent({growths[name].axis(size): spent[number] for size, spent in points.items()})
                for number in range(n_rounds)
            ]
            found, expected = statistics.median(powers), growths[name].expected[kind(stage)]
            rows.append(
                {
                    "varied": name,
                    "stage": stage,
                    "seconds": ", ".join(f"{n}: {statistics.median(spent):.3f}" for n, spent in points.items()),
                    "exponent": found,
                    "of rounds": f"{min(powers):.2f} to {max(powers):.2f}",
                    "expected": expected,
                    "too fast": "yes" if found > expected + TOLERANCE else "",
                }
            )
    return rows


def exponent(points: Mapping[float, float]) -> float:
    """The p of seconds = c n^p, fitted in log-log over the larger half of the sizes, where overhead matters less."""
    larger = list(points.items())[len(points) // 2 - 1 :]
    return slope([(float(np.log(n)), float(np.log(spent))) for n, spent in larger])


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Of the straight line through the points, by least squares."""
    x, y = np.array(points, np.float64).T
    return float(np.polyfit(x, y, 1)[0])
