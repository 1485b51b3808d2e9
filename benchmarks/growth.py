"""How time grows with slices, coils, matrix and posterior samples, and memory with slices.

usage: python benchmarks/growth.py [--rounds 5] [--memory-rounds 3] [--priors tiny default] [--quick] [--out DIR]

Simulated scans, R = 3; what is not varied is one slice of 128 x 128 with 8 coils and no samples. Seconds of coil maps, of
CG-SENSE and of Nila, each on its own, without start-up and without the coil compression that chains do in front of them; in a
round all sizes take turns. The exponent p of seconds = c n^p is fitted in every round over the larger half of the sizes; the
median of the rounds counts. Then the peak memory of replays through cg_sense and nila against the number of slices.

Writes growth.md, growth.json and growth.png into --out (the plot needs matplotlib). Exit code 1 where time grows with a power
more than 0.25 above what the operations give, or memory, between the two largest scans, by more than 10 % of a slice's lines
for each slice. --quick takes the small sizes only, to see that it runs, and gives no verdict. All of it takes
about eight minutes of one core, on a machine that does nothing else: load shifts exponents by 0.4.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from growth_memory import N_SLICES, Peaks, lines_mib, measure_peaks, memory_rows
from growth_times import BASE, GROWTHS, Growth, Seconds, exponents, measure
from nilatron.pipelines.threads import calm_threads
from report import markdown, write_json


def main() -> int:
    """Print tables; 1 where something grows faster than it may."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory-rounds", type=int, default=3)
    parser.add_argument("--priors", nargs="+", default=["tiny", "default"])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("growth"))
    options = parser.parse_args()
    calm_threads()  # as in our commands
    if min(options.rounds, options.memory_rounds) < 1:
        parser.error("at least one round is needed")
    options.out.mkdir(parents=True, exist_ok=True)
    growths, n_slices = GROWTHS, N_SLICES
    if options.quick:
        growths = {name: replace(growth, sizes=growth.sizes[:3]) for name, growth in GROWTHS.items()}
        n_slices = N_SLICES[:2]
    machine = f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f} at the beginning"
    seconds = measure(growths, options.priors, options.rounds)
    peaks = measure_peaks(n_slices, options.memory_rounds)
    time_rows, peak_rows = exponents(seconds, growths), memory_rows(peaks)
    text = (
        f"{machine}; medians of {options.rounds} rounds\n\n{markdown(time_rows)}\n\n"
        f"Peak memory of replays, medians of {options.memory_rounds}; the lines of a slice take {lines_mib(BASE):.2f} MiB.\n\n"
        f"{markdown(peak_rows)}\n"
    )
    print(text, end="")
    (options.out / "growth.md").write_text(text)
    found = {"machine": machine, "seconds": seconds, "exponents": time_rows, "peak_mib": peaks, "memory": peak_rows}
    write_json(options.out / "growth.json", found)
    plot(seconds, peaks, growths, options.out / "growth.png")
    if options.quick:
        return 0  # small scans are all overhead
    return int(any(row["too fast"] for row in (*time_rows, *peak_rows)))


def plot(seconds: Seconds, peaks: Peaks, growths: Mapping[str, Growth], path: Path) -> None:
    """Four panels of seconds, one of memory: medians, and the range of the rounds as bars."""
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
            panel.errorbar(x, *medians_and_ranges(points), marker="o", capsize=3, label=stage)
        panel.set(xscale="log", yscale="log", xlabel=name, ylabel="seconds")
        panel.set_xticks(x, [str(n) for n in points])
        panel.minorticks_off()
    for chain, points in peaks.items():
        panels[4].errorbar(list(points), *medians_and_ranges(points), marker="o", capsize=3, label=chain)
    panels[4].set(xlabel="slices", ylabel="peak memory of a replay in MiB", ylim=(0, None))
    panels[4].set_xticks(list(points))
    for panel in panels[:5]:
        panel.grid(alpha=0.3)
        panel.legend(fontsize="small")
    panels[5].axis("off")
    figure.savefig(path, dpi=100)


def medians_and_ranges(points: Mapping[int, Sequence[float]]) -> tuple[list[float], list[list[float]]]:
    """Medians, and the distances to the smallest and to the largest value."""
    medians = [statistics.median(values) for values in points.values()]
    both = list(zip(points.values(), medians, strict=True))
    return medians, [
        [middle - min(values) for values, middle in both],
        [max(values) - middle for values, middle in both],
    ]


if __name__ == "__main__":
    sys.exit(main())
