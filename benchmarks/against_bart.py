"""Accuracy and seconds against BART 0.8 on the same k-space: coil maps, CG-SENSE, l1-wavelet, Nila.

usage: python benchmarks/against_bart.py --data DIR [--acceleration 4 6] [--coils 8 4] [--weights NAME|FILE] [--json FILE]

DIR holds brain_t1_8ch_espirit_full.h5 (kspace[coil, y, x], noise_cov_est). The scan is whitened with its own noise,
more of that noise is added (0, 2 and 4 times its standard deviation), every R-th line and 24 calibration lines are kept, and
the coils are compressed to the leading singular vectors of the calibration lines; BART gets the same k-space. Reference:
the image of the full scan combined from all its coils, for compressed coils too. PSNR is that of magnitudes in the
foreground (|x| > 8 % of the 99.5th percentile of the reference) after a least-squares scale. BART's lambda is chosen with the
reference in hand (oracle), its maps are those of `ecalib`; our lambda is derived from the data, our maps are ours. Seconds
are the best of several runs. With `--shared-noise` follows what the noise that reference and data share does to the figures.
Another method is one more entry of `methods`: a function (operator, data) -> image.
"""

from __future__ import annotations

import argparse
import math
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from bart import Bart, oracle
from nilatron.core.baselines.cg_sense import cg_sense
from nilatron.core.baselines.l1_wavelet import l1_wavelet
from nilatron.core.baselines.zero_filled import zero_filled
from nilatron.core.coils.espirit import espirit_maps
from nilatron.core.fft import ifft
from nilatron.core.metrics import foreground, psnr, ssim
from nilatron.core.prior.weights import find_weights
from nilatron.core.sense import SenseOperator
from ours import nila
from report import Cell, markdown, write_json
from scans import (
    BRAIN,
    ComplexArray,
    combined,
    compress,
    compression,
    full_scan_maps,
    load_brain,
    undersample,
    with_noise,
)
from shared_noise import shared_noise_rows

Method: TypeAlias = Callable[[SenseOperator, ComplexArray], ComplexArray]

ADDED_NOISE = (0, 2, 4)
REPEATS = 3


def methods(weights: Path) -> dict[str, Method]:
    """Ours, by the name of their column."""
    return {
        "zero-filled": zero_filled,
        "CG-SENSE": cg_sense,
        "l1-wavelet": l1_wavelet,
        "Nila": partial(nila, weights=weights),
    }


def timed(call: Callable[[], ComplexArray]) -> tuple[ComplexArray, float]:
    """Call several times; result and seconds of the fastest call."""
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        result = call()
        seconds.append(time.perf_counter() - start)
    return result, min(seconds)


def map_error(maps: ComplexArray, other: ComplexArray, inside: npt.NDArray[np.bool_]) -> float:
    """NRMSE of `maps` against `other` inside the object, the pointwise common phase removed."""
    product = np.sum(np.conj(maps) * other, axis=0)
    aligned = maps * np.exp(1j * np.angle(product))
    difference = np.sum(np.abs(aligned - other) ** 2, axis=0)[inside]
    return math.sqrt(float(difference.sum() / np.sum(np.abs(other) ** 2, axis=0)[inside].sum()))


def bart_l1(bart: Bart, reference: ComplexArray) -> tuple[float, float, float]:
    """Best PSNR over lambda, that lambda, and the seconds of one run; k-space and maps are already written."""
    seconds = []

    def score(value: float) -> float:
        image, taken = bart.l1_wavelet(value)
        seconds.append(taken)
        return psnr(image, reference)

    return (*oracle(score), min(seconds))


def compare(
    bart: Bart, full: ComplexArray, reference: ComplexArray, case: tuple[int, int, float], options: argparse.Namespace
) -> dict[str, Cell]:
    """Print the figures of one case (acceleration, coils, added noise); its row of the table."""
    acceleration, n_coils, added_noise = case
    noisy = with_noise(full, added_noise, options.seed)
    scan = undersample(noisy, acceleration, options.calibration)
    scan = compress(scan, compression(scan, n_coils))
    maps, seconds = timed(lambda: espirit_maps(scan.calibration, scan.shape))
    bart.write("kspace", scan.kspace)
    bart_seconds = min(bart.ecalib(options.calibration) for _ in range(REPEATS))
    error = map_error(maps, bart.read("maps"), foreground(reference))
    n_lines = int(scan.counts[0, :, 0].sum())
    print(f"\nR={acceleration}, {n_coils} coils, {added_noise}x added noise, {n_lines} of {scan.shape[1]} lines")
    print(f"  {'method':<28}{'PSNR / dB':>10}{'SSIM':>8}{'seconds':>9}")
    print(f"  {'maps, NRMSE to ecalib':<28}{100 * error:>9.2f}%{'':>8}{seconds:>9.2f}")
    print(f"  {'bart ecalib':<46}{bart_seconds:>9.2f}")
    operator = SenseOperator(maps, scan.counts)
    data = operator.data(scan.kspace)
    row: dict[str, Cell] = {"R": acceleration, "coils": n_coils, "added noise": f"{added_noise}x"}
    for name, method in methods(options.weights).items():
        image, seconds = timed(partial(method, operator, data))
        row[name] = quality = psnr(image, reference)
        similarity = ssim(image, reference, foreground(reference))
        print(f"  {name:<28}{quality:>10.2f}{similarity:>8.3f}{seconds:>9.2f}")
    best, value, seconds = bart_l1(bart, reference)
    print(f"  {f'bart l1-wavelet, l={value:.4f}':<28}{best:>10.2f}{'':>8}{seconds:>9.2f}", flush=True)
    return {**row, "BART": best, "lambda": f"{value:.4f}", "Nila - BART": quality - best}


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help=f"folder of {BRAIN}")
    parser.add_argument("--acceleration", type=int, nargs="+", default=[4])
    parser.add_argument("--coils", type=int, nargs="+", default=[8], help="8 as measured, fewer by compression")
    parser.add_argument("--calibration", type=int, default=24, help="fully sampled lines in the centre")
    parser.add_argument("--weights", type=find_weights, default="default", help="default, tiny or a file")
    parser.add_argument("--seed", type=int, default=0, help="of the added noise")
    parser.add_argument("--shared-noise", action="store_true", help="also what the reference's own noise does")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the tables here too")
    return parser.parse_args()


def main() -> int:
    """Run all cases; 2 when BART or the data are missing."""
    options = parsed()
    program, path = shutil.which("bart"), options.data / BRAIN
    if program is None or not path.is_file():
        missing = f"{path} is not there" if program else "the program bart is not installed (Debian package bart)"
        print(f"cannot compare: {missing}", file=sys.stderr)
        return 2
    full = load_brain(options.data)
    maps = full_scan_maps(full)
    reference = combined(full, maps)
    rss = np.sum(np.abs(ifft(full)) ** 2, axis=0)
    cut = 1 - float(rss[np.any(maps != 0, axis=0)].sum() / rss.sum())
    print(f"energy of the full scan outside the maps' support: {100 * cut:.2f} %, most of it noise")
    cases = [(r, n, noise) for r in options.acceleration for n in options.coils for noise in ADDED_NOISE]
    with tempfile.TemporaryDirectory() as folder:
        bart = Bart(program, Path(folder))
        rows = [compare(bart, full, reference, case, options) for case in cases]
        print(f"\nforeground PSNR in dB against the full scan of {len(full)} coils\n\n{markdown(rows)}")
        shared: list[dict[str, Cell]] = []
        if options.shared_noise:
            shared = shared_noise_rows(bart, full, maps, cases, options.weights, options.seed)
            print(f"\nwhat the noise of the reference, which the data share, does\n\n{markdown(shared)}")
    if options.json:
        write_json(options.json, {"against_full_scan": rows, "shared_noise": shared})
    return 0


if __name__ == "__main__":
    sys.exit(main())
