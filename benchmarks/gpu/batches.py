"""Milliseconds a slice, and memory, when the sampler makes the images of several slices at once."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import numpy as np

from gpu.chain import Chain, node_settings
from gpu.findings import Findings
from gpu.memory import DeviceMemory
from gpu.place import places, waiter
from gpu.scan import raw_slice
from gpu.size import Size
from gpu.timing import Stopwatch
from nilatron.gadgets.conventional import FAILURES
from nilatron.gadgets.nila.method import run_nila_batch
from nilatron.gadgets.nila.settings import NilaNodeSettings
from nilatron.gadgets.problem import Outcome, Problem

TITLE = "The sampler on several slices at once"


def measure(found: Findings, device: str, size: Size) -> None:
    """A row for each number of slices, in the chain's own arrays."""
    place = places(device)[0][0]
    watch, memory, settings = Stopwatch(waiter(device), size), DeviceMemory(device), node_settings()
    problem = Chain(raw_slice(size), place, size.weights, settings).problem()
    for n_slices in size.batches:
        memory.restart()
        try:
            times = watch.times(partial(images, problem, n_slices, settings))
        except FAILURES as error:
            found.judge(f"{n_slices} slices at once: {type(error).__name__}: {error}", math.inf, 0)
            continue
        found.add_row(
            TITLE,
            {
                "slices": n_slices,
                "ms a slice": times.median_ms / n_slices,
                "median / ms": times.median_ms,
                "worst / ms": times.worst_ms,
                **memory.peaks(),
            },
        )


def images(problem: Problem, n_slices: int, settings: NilaNodeSettings) -> list[Outcome]:
    """The slice so many times, each with noise of its own."""
    problems = [replace(problem, generator=np.random.default_rng(number)) for number in range(n_slices)]
    return run_nila_batch(problems, settings)
