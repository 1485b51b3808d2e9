"""Peak memory of replays, each in a process of its own, over the number of slices."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from growth_times import BASE, slope
from nilatron.pipelines.simulation.simulate import SimulationSettings, simulate
from report import Cell

# ru_maxrss would count what this process had when it began the other
REPLAY = """
import sys
from pathlib import Path
from nilatron.pipelines.replay.run import replay
from nilatron.pipelines.replay.settings import ReplaySettings
raw, chain, properties = Path(sys.argv[1]), sys.argv[2], dict(word.split("=") for word in sys.argv[3:])
replay(ReplaySettings(raw, raw.with_name("images.h5"), chain, properties=properties, overwrite=True))
status = Path("/proc/self/status").read_text().splitlines()
print(next(line.split()[1] for line in status if line.startswith("VmHWM:")))
"""
PROPERTIES = {"cg_sense": (), "nila": ("steps=3",)}  # memory does not depend on the number of steps
N_SLICES: tuple[int, ...] = (10, 40, 160)
LEAK = 0.1  # of the lines of a slice

Peaks: TypeAlias = Mapping[str, Mapping[int, Sequence[float]]]
"""MiB of a chain and a number of slices, one of each round."""


def measure_peaks(sizes: Sequence[int], n_rounds: int) -> Peaks:
    """All chains and numbers of slices take turns."""
    found: dict[str, dict[int, list[float]]] = {chain: defaultdict(list) for chain in PROPERTIES}
    with tempfile.TemporaryDirectory() as folder:
        scans = {n: Path(folder) / f"{n}.h5" for n in sizes}
        for n, raw in scans.items():
            simulate(raw, replace(BASE, n_slices=n))
        for number in range(n_rounds):
            for n, raw in scans.items():
                for chain in PROPERTIES:
                    found[chain][n].append(peak_mib(raw, chain))
            print(f"memory: round {number + 1} of {n_rounds}", file=sys.stderr)
    return {chain: dict(points) for chain, points in found.items()}


def peak_mib(raw: Path, chain: str) -> float:
    """Peak resident memory of the replay of a scan."""
    words = [sys.executable, "-c", REPLAY, str(raw), chain, *PROPERTIES[chain]]
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout) / 1024


def memory_rows(peaks: Peaks) -> list[dict[str, Cell]]:
    """A row for each chain: median peaks, and what each slice between the two largest scans adds."""
    allowed = LEAK * lines_mib(BASE)
    rows: list[dict[str, Cell]] = []
    for chain, points in peaks.items():
        medians = {n: statistics.median(values) for n, values in points.items()}
        added = slope(list(medians.items())[-2:])
        rows.append(
            {
                "chain": chain,
                "peak in MiB, by slices": ", ".join(f"{n}: {mib:.0f}" for n, mib in medians.items()),
                "widest range": max(max(values) - min(values) for values in points.values()),
                "MiB a slice": f"{added:+.3f}",
                "at most": f"{allowed:.3f}",
                "too fast": "yes" if added > allowed else "",
            }
        )
    return rows


def lines_mib(settings: SimulationSettings) -> float:
    """Samples of one slice as they arrive."""
    n_x, n_y, _ = settings.matrix
    n_samples = settings.n_coils * int(settings.readout_oversampling * n_x)
    return 8 * n_samples * n_y / settings.acceleration / 2**20
