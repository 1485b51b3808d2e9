"""Nila against BART's l1-wavelet on many simulated multi-coil slices: mean and worst difference, by source.

usage: python benchmarks/simulated_slices.py --data DIR [--slices 84] [--weights NAME|FILE] [--json FILE]

DIR holds kspace/complex_t2_28.h5, kspace/coil_maps_dev.h5 and magnitude/val. The first source gives the complex T2 slices
that no training uses (at most 14), the others an equal share of magnitude images with synthetic phase. There are 24 conditions:
R = 4 or 6 with 24 calibration lines, all 8 coils or 4 compressed ones, sigma_y = 0.015, 0.03 or 0.06 of the image scale, two
sets of measured maps. Each slice gets one condition, from a shuffled list in which all are equally frequent. PSNR is that of
magnitudes in the foreground against the truth, which has no noise of the data. Each program uses its own maps (ours, `ecalib`).
BART's lambda is the best for each slice: three values around the best of the last slice of this noise level, more while the
best is the outermost.
"""

from __future__ import annotations

import argparse
import itertools
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bart import LAMBDAS, Bart, oracle
from nilatron.core.baselines.cg_sense import cg_sense
from nilatron.core.coils.espirit import espirit_maps
from nilatron.core.metrics import psnr
from nilatron.core.prior.weights import find_weights
from nilatron.core.sense import SenseOperator
from ours import nila
from report import Cell, markdown, write_json
from scans import N_CALIBRATION, compress, compression, undersample
from simulated import MAGNITUDE_SOURCES, MAP_SETS, Slice, coil_maps, complex_slices, full_kspace, magnitude_slices


@dataclass(frozen=True)
class Condition:
    """How a slice is measured."""

    acceleration: int
    n_coils: int
    sigma_y: float
    maps: str


CONDITIONS = [Condition(*case) for case in itertools.product((4, 6), (8, 4), (0.015, 0.03, 0.06), MAP_SETS)]
FIRST_LAMBDA = {0.015: 6, 0.03: 9, 0.06: 12}  # index of LAMBDAS


def drawn(data: Path, n: int, generator: np.random.Generator) -> list[tuple[Slice, Condition]]:
    """`n` slices, every source and condition in equal shares as far as there are slices."""
    complex_ones = complex_slices(data)
    slices = [complex_ones[i] for i in generator.permutation(len(complex_ones))][: n // 3]
    left = n - len(slices)
    for i, source in enumerate(MAGNITUDE_SOURCES):
        share = left * (i + 1) // len(MAGNITUDE_SOURCES) - left * i // len(MAGNITUDE_SOURCES)
        slices += magnitude_slices(data, source, share, generator)
    rounds = -(-n // len(CONDITIONS))
    conditions = [CONDITIONS[i] for _ in range(rounds) for i in generator.permutation(len(CONDITIONS))]
    pairs = list(zip(slices, conditions[:n], strict=True))
    return [pairs[i] for i in generator.permutation(n)]


def measure(
    bart: Bart, data: Path, item: Slice, condition: Condition, weights: Path, seed: int, first_lambda: int
) -> dict[str, Cell]:
    """Figures of one slice."""
    maps = coil_maps(data, condition.maps, item.truth.shape)
    scan = undersample(full_kspace(item.truth, maps, condition.sigma_y, seed), condition.acceleration)
    scan = compress(scan, compression(scan, condition.n_coils))
    operator = SenseOperator(espirit_maps(scan.calibration, scan.shape), scan.counts)
    samples = operator.data(scan.kspace)
    bart.write("kspace", scan.kspace)
    bart.ecalib(N_CALIBRATION)
    best, value = oracle(lambda value: psnr(bart.l1_wavelet(value)[0], item.truth), start=first_lambda)
    ours = psnr(nila(operator, samples, weights), item.truth)
    return {
        "source": item.source,
        "slice": item.name,
        "R": condition.acceleration,
        "coils": condition.n_coils,
        "sigma_y": f"{condition.sigma_y:g}",
        "maps": condition.maps,
        "CG-SENSE": psnr(cg_sense(operator, samples), item.truth),
        "BART": best,
        "lambda": f"{value:.4f}",
        "Nila": ours,
        "Nila - BART": ours - best,
    }


def summary(rows: Sequence[dict[str, Cell]], columns: Iterable[str]) -> list[dict[str, Cell]]:
    """Mean and worst case by the values of each column, and of all."""
    groups = [("all", "", list(rows))]
    for column in columns:
        for value in sorted({str(row[column]) for row in rows}):
            groups.append((column, value, [row for row in rows if str(row[column]) == value]))
    return [
        {
            "of": f"{column} {value}".strip(),
            "slices": len(group),
            **{name: float(np.mean([row[name] for row in group])) for name in ("CG-SENSE", "BART", "Nila")},
            "Nila - BART": float(np.mean(differences)),
            "worst": min(differences),
            "slices below BART": sum(difference < 0 for difference in differences),
        }
        for column, value, group in groups
        if (differences := [float(row["Nila - BART"] or 0) for row in group])
    ]


def main() -> int:
    """Print all slices and the summary; 2 when BART or the data are missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--slices", type=int, default=84)
    parser.add_argument("--weights", type=find_weights, default="default", help="default, tiny or a file")
    parser.add_argument("--seed", type=int, default=0, help="of slices, conditions, phase and noise")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the tables here too")
    options = parser.parse_args()
    program = shutil.which("bart")
    if program is None or not (options.data / "kspace").is_dir() or not (options.data / "magnitude").is_dir():
        print(
            f"needs the program bart (Debian package bart), and kspace and magnitude in {options.data}", file=sys.stderr
        )
        return 2
    started = time.perf_counter()
    first_lambda, rows = dict(FIRST_LAMBDA), []
    with tempfile.TemporaryDirectory() as folder:
        bart = Bart(program, Path(folder))
        items = drawn(options.data, options.slices, np.random.default_rng(options.seed))
        for seed, (item, condition) in enumerate(items):
            guess = first_lambda[condition.sigma_y]
            row = measure(bart, options.data, item, condition, options.weights, options.seed + seed, guess)
            first_lambda[condition.sigma_y] = [f"{value:.4f}" for value in LAMBDAS].index(str(row["lambda"]))
            rows.append(row)
            print(
                f"{seed + 1}/{len(items)} "
                + " ".join(map(str, list(row.values())[:6]))
                + f" {row['Nila - BART']:+.2f} dB",
                flush=True,
            )
    total = summary(rows, ("source", "R", "coils", "sigma_y", "maps"))
    print(f"\n{markdown(rows)}\n\n{markdown(total)}\n\n{time.perf_counter() - started:.0f} s")
    if options.json:
        write_json(options.json, {"slices": rows, "summary": total})
    return 0


if __name__ == "__main__":
    sys.exit(main())
