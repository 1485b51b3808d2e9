"""How time grows with slices, coils, matrix and posterior samples, and memory with slices.

usage: python benchmarks/growth.py [--rounds 3] [--priors tiny default] [--quick] [--out DIR]

Simulated scans, R = 3; what is not varied is one slice of 128 x 128 with 8 coils and no samples. Seconds of coil maps, of
CG-SENSE and of Nila, each on its own, without start-up: the median of the rounds, in which all sizes take turns. The
exponent p of seconds = c n^p is fitted in log-log over the larger half of the sizes, where overhead matters less. Then the
peak memory of replays, each in a process of its own, against the number of slices. Writes growth.json and growth.png into
--out (the plot needs matplotlib). Exit code 1 where time grows with a power more than 0.5 above what the operations give, or
memory, between the two largest scans, by more than 10 % of a slice's lines for each slice.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from nilatron.core.baselines.cg_sense import cg_sense
from nilatron.core.prior.weights import shipped_weights
from nilatron.core.sense import SenseOperator
from nilatron.gadgets.accumulate import Accumulator
from nilatron.gadgets.items import Context, KSpaceSlice
from nilatron.gadgets.nila_method import NilaNodeSettings, run_nila
from nilatron.gadgets.noise import NoiseSettings, Whitening
from nilatron.gadgets.oversampling import prepare_readouts
from nilatron.gadgets.problem import Problem
from nilatron.gadgets.sensitivities import with_maps
from nilatron.pipelines.raw_file import open_raw
from nilatron.pipelines.simulate import SimulationSettings, simulate
from report import Cell, markdown, write_json

REPLAY = """
import sys
from pathlib import Path
from nilatron.pipelines.replay import ReplaySettings, replay
raw = Path(sys.argv[1])
replay(ReplaySettings(raw, raw.with_name("images.h5"), sys.argv[2]))
status = Path("/proc/self/status").read_text().splitlines()
print(next(line.split()[1] for line in status if line.startswith("VmHWM:")))
"""
BASE = SimulationSettings(matrix=(128, 128, 1), n_coils=8, acceleration=3, noise_std=0.05)
TOLERANCE = 0.5  # of an exponent: larger arrays leave the caches
LEAK = 0.1  # of the lines of a slice
STEPS = NilaNodeSettings()


@dataclass(frozen=True)
class Growth:
    """What is varied; `expected` are the exponents by stage that the number of operations gives."""

    sizes: tuple[int, ...]
    scan: Callable[[int], SimulationSettings]
    expected: dict[str, float]
    axis: Callable[[int], float] = float  # what the exponent refers to


def unchanged(_: int) -> SimulationSettings:
    """The scan that everything else is compared with."""
    return BASE


def evaluations(n_samples: int) -> float:
    """Network evaluations of a slice."""
    return STEPS.steps + n_samples * STEPS.sample_steps


LINEAR = {"maps": 1.0, "CG-SENSE": 1.0, "Nila": 1.0}
GROWTHS = {
    "slices": Growth((1, 2, 4, 8, 16), lambda n: replace(BASE, n_slices=n), LINEAR),
    # ESPIRiT: the eigenvectors of a matrix of (36 coils)^2, and for each pixel those of coils^2
    "coils": Growth((4, 8, 16, 32), lambda n: replace(BASE, n_coils=n), LINEAR | {"maps": 3.0}),
    "matrix": Growth(
        (64, 96, 128, 192, 256, 384), lambda n: replace(BASE, matrix=(n, n, 1)), dict.fromkeys(LINEAR, 2.0)
    ),
    "samples": Growth((0, 2, 4, 8), unchanged, {"Nila": 1.0}, evaluations),
}
MEMORY_SCANS = {"cg_sense": (10, 40, 160), "nila": (10, 40)}


def main() -> int:
    """Print tables; 1 where something grows faster than it may."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--priors", nargs="+", default=["tiny", "default"])
    parser.add_argument("--quick", action="store_true", help="small sizes only, to see that it runs")
    parser.add_argument("--out", type=Path, default=Path("growth"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    growths, scans = GROWTHS, MEMORY_SCANS
    if options.quick:
        growths = {name: replace(growth, sizes=growth.sizes[:3]) for name, growth in GROWTHS.items()}
        scans = {chain: sizes[:2] for chain, sizes in MEMORY_SCANS.items()}
    print(f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}, medians of {options.rounds}\n")
    seconds = measured(growths, options.priors, options.rounds)
    rows = exponents(seconds, growths)
    print(markdown(rows))
    peaks = {chain: {n: peak_mib(chain, n) for n in sizes} for chain, sizes in scans.items()}
    line_mib = lines_mib(BASE)
    slopes = {chain: slope(list(points.items())[-2:]) for chain, points in peaks.items()}
    print(f"\npeak memory of replays; the lines of a slice take {line_mib:.2f} MiB\n")
    for chain, points in peaks.items():
        text = ", ".join(f"{n}: {mib:.0f}" for n, mib in points.items())
        print(f"- `{chain}`, MiB by slices: {text}; {slopes[chain]:+.3f} MiB a slice")
    write_json(
        options.out / "growth.json", {"seconds": seconds, "exponents": rows, "peak_mib": peaks, "slopes": slopes}
    )
    plot(seconds, peaks, growths, options.out / "growth.png")
    good = not any(row["too fast"] for row in rows) and max(slopes.values()) < LEAK * line_mib
    return 0 if good else 1


def measured(growths: dict[str, Growth], priors: list[str], rounds: int) -> dict[str, dict[str, dict[int, float]]]:
    """Median seconds by what is varied, stage and size."""
    found: dict[tuple[str, str, int], list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        cases = {
            (name, size): case(growth.scan(size), Path(folder))
            for name, growth in growths.items()
            for size in growth.sizes
        }
    for number in range(rounds + 1):
        for (name, size), (items, context) in cases.items():
            n_samples = size if name == "samples" else 0
            for stage, spent in stage_seconds(items, context, priors, n_samples).items():
                if number:  # the first call pays for loading weights and choosing kernels
                    found[name, stage, size].append(spent)
    medians: dict[str, dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    for (name, stage, size), values in found.items():
        if name != "samples" or stage.startswith("Nila"):
            medians[name][stage][size] = statistics.median(values)
    return {name: dict(stages) for name, stages in medians.items()}


def case(settings: SimulationSettings, folder: Path) -> tuple[list[KSpaceSlice], Context]:
    """The whitened slices of a simulated scan."""
    raw = folder / "raw.h5"
    simulate(raw, settings)
    with open_raw(raw) as file:
        context = Context(file.header)
        whitening = Whitening(NoiseSettings())
        lines = prepare_readouts(whitening.lines(file.items(), context), context)
        items = list(whitening.slices(Accumulator()(lines, context), context))
    raw.unlink()
    return items, context


def stage_seconds(items: list[KSpaceSlice], context: Context, priors: list[str], n_samples: int) -> dict[str, float]:
    """Seconds of each stage for all slices, which go through it one after the other."""
    spent: dict[str, float] = defaultdict(float)

    def timed(stage: str, function: Callable[..., Any], *arguments: object) -> Any:
        began = time.perf_counter()
        result = function(*arguments)
        spent[stage] += time.perf_counter() - began
        return result

    for item in items:
        mapped = timed("maps", with_maps, item, context)
        operator = SenseOperator(mapped.coil_maps, mapped.counts)
        data = operator.data(mapped.kspace)
        start = timed("CG-SENSE", cg_sense, operator, data)
        settings = NilaNodeSettings()
        if n_samples:
            settings = replace(settings, series=("nila", "uncertainty"), samples=n_samples)
        for prior in priors:
            problem = Problem(operator, data, start, np.random.default_rng(0), "cpu", shipped_weights(prior))
            timed(f"Nila, {prior}", run_nila, problem, settings)
    return dict(spent)


def exponents(seconds: dict[str, dict[str, dict[int, float]]], growths: dict[str, Growth]) -> list[dict[str, Cell]]:
    """A row for each stage and what was varied."""
    rows: list[dict[str, Cell]] = []
    for name, stages in seconds.items():
        for stage, points in stages.items():
            larger = list(points.items())[len(points) // 2 - 1 :]
            power = slope([(np.log(growths[name].axis(n)), np.log(spent)) for n, spent in larger])
            expected = growths[name].expected[stage.split(",")[0]]
            rows.append(
                {
                    "varied": name,
                    "stage": stage,
                    "seconds": ", ".join(f"{n}: {spent:.3f}" for n, spent in points.items()),
                    "exponent": power,
                    "at most": expected,
                    "too fast": "yes" if power > expected + TOLERANCE else "",
                }
            )
    return rows


def slope(points: list[tuple[float, float]]) -> float:
    """Of the straight line through the points, by least squares."""
    x, y = np.array(points, np.float64).T
    return float(np.polyfit(x, y, 1)[0])


def peak_mib(chain: str, n_slices: int) -> float:
    """Peak resident memory of the replay of a scan; ru_maxrss would count what this process had when it began."""
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "raw.h5"
        simulate(raw, replace(BASE, n_slices=n_slices))
        words = [sys.executable, "-c", REPLAY, str(raw), chain]
        done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout) / 1024


def lines_mib(settings: SimulationSettings) -> float:
    """Samples of one slice as they arrive."""
    n_x, n_y, _ = settings.matrix
    n_samples = settings.n_coils * int(settings.readout_oversampling * n_x)
    return 8 * n_samples * n_y / settings.acceleration / 2**20


def plot(
    seconds: dict[str, dict[str, dict[int, float]]],
    peaks: dict[str, dict[int, float]],
    growths: dict[str, Growth],
    path: Path,
) -> None:
    """Four panels of seconds, one of memory."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print("no plot: it needs matplotlib (pip install '.[benchmark]')", file=sys.stderr)
        return
    figure = Figure(figsize=(15, 9), layout="constrained")
    panels = figure.subplots(2, 3).ravel()
    for panel, (name, stages) in zip(panels, seconds.items(), strict=False):
        for stage, points in stages.items():
            x = [growths[name].axis(n) for n in points]
            panel.loglog(x, list(points.values()), "o-", label=stage)
            panel.set_xticks(x, [str(n) for n in points])
        panel.minorticks_off()
        panel.set(xlabel=name, ylabel="seconds")
        panel.grid(alpha=0.3)
        panel.legend(fontsize="small")
    for chain, points in peaks.items():
        panels[4].semilogx(list(points), list(points.values()), "o-", label=chain)
    panels[4].set(xlabel="slices", ylabel="peak memory of a replay in MiB")
    panels[4].set_ylim(0, 1.1 * max(mib for points in peaks.values() for mib in points.values()))
    panels[4].legend(fontsize="small")
    panels[4].grid(alpha=0.3)
    panels[5].axis("off")
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    sys.exit(main())
