"""Accuracy and seconds against BART 0.8 on the same k-space: coil maps, CG-SENSE, l1-wavelet, Nila.

usage: python benchmarks/against_bart.py --data DIR

DIR holds brain_t1_8ch_espirit_full.h5 (kspace[coil, y, x], noise_cov_est). The scan is whitened with its own noise,
more of that noise is added (0, 2 and 4 times its standard deviation), and every fourth line and 24 calibration lines
are kept. Reference: the coil-combined image of the full scan. BART's lambda is chosen with the reference in hand
(oracle); ours is derived from the data. Seconds are the best of several runs. Another method is one more entry of
`METHODS`: a function (operator, data) -> image.
"""

from __future__ import annotations

import argparse
import math
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

import h5py
import numpy as np
import numpy.typing as npt

from bart import ITERATIONS, Bart
from nilatron.core.backend import complex_normal
from nilatron.core.baselines.cg_sense import cg_sense
from nilatron.core.baselines.l1_wavelet import l1_wavelet
from nilatron.core.baselines.zero_filled import zero_filled
from nilatron.core.coils.espirit import espirit_maps
from nilatron.core.fft import ifft
from nilatron.core.metrics import foreground, psnr, ssim
from nilatron.core.sense import SenseOperator
from nilatron.gadgets.methods import NilaNodeSettings, Problem, run_nila

ComplexArray: TypeAlias = npt.NDArray[np.complex64]
Method: TypeAlias = Callable[[SenseOperator, ComplexArray], ComplexArray]


def nila(operator: SenseOperator, data: ComplexArray) -> ComplexArray:
    """The default of `nilatron replay`, conventional image included."""
    problem = Problem(operator, data, cg_sense(operator, data), np.random.default_rng(0), "cpu")
    image: ComplexArray = run_nila(problem, NilaNodeSettings()).images["nila"]
    return image


METHODS: dict[str, Method] = {
    "zero-filled": zero_filled,
    "CG-SENSE": cg_sense,
    "l1-wavelet": l1_wavelet,
    "Nila": nila,
}

ADDED_NOISE = (0, 2, 4)
REPEATS = 3
BART_LAMBDAS = tuple(0.0005 * 2 ** (i / 2) for i in range(17))  # of BART's own data scale


@dataclass(frozen=True)
class Scan:
    """Undersampled, whitened k-space (coil, z, y, x) of one noise level; counts (z, y, x); calibration lines."""

    kspace: ComplexArray
    counts: npt.NDArray[np.float32]
    calibration: ComplexArray


def load(path: Path) -> ComplexArray:
    """Whitened k-space (coil, z, y, x) of the full scan."""
    with h5py.File(path) as file:
        kspace, covariance = file["kspace"][:], file["noise_cov_est"][:]
    whitened = np.linalg.solve(np.linalg.cholesky(covariance), kspace.reshape(len(kspace), -1))
    return np.ascontiguousarray(whitened.reshape(kspace.shape)[:, None], np.complex64)


def undersample(full: ComplexArray, added_noise: float, acceleration: int, n_calibration: int, seed: int) -> Scan:
    """Add noise, make its variance 1 again, keep the lines of an equispaced grid and of the centre."""
    noise = complex_normal(np.random.default_rng(seed), full.shape, full)
    kspace = (full + added_noise * noise) / np.float32(math.sqrt(1 + added_noise**2))
    n_y = full.shape[2]
    centre = slice(n_y // 2 - n_calibration // 2, n_y // 2 + n_calibration // 2)
    counts = np.zeros(full.shape[1:], np.float32)
    counts[:, (n_y // 2) % acceleration :: acceleration] = 1
    counts[:, centre] = 1
    return Scan(kspace * counts, counts, kspace[:, :, centre])


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
    results = []
    for value in BART_LAMBDAS:
        seconds = bart.run("pics", "-R", f"W:3:0:{value:.6f}", f"-i{ITERATIONS}", "kspace", "maps", "image")
        results.append((psnr(bart.read("image")[0], reference), value, seconds))
    best = (*max(results)[:2], min(seconds for _, _, seconds in results))
    if best[1] in (BART_LAMBDAS[0], BART_LAMBDAS[-1]):
        raise ValueError(f"the best lambda {best[1]} lies at the end of the grid: widen BART_LAMBDAS")
    return best


def compare(
    bart: Bart, full: ComplexArray, reference: ComplexArray, added_noise: float, options: argparse.Namespace
) -> None:
    """Print the rows of one noise level."""
    scan = undersample(full, added_noise, options.acceleration, options.calibration, options.seed)
    shape = (full.shape[1], full.shape[2], full.shape[3])
    maps, seconds = timed(lambda: espirit_maps(scan.calibration, shape))
    bart.write("kspace", scan.kspace)
    ecalib = ("ecalib", "-m1", f"-r{options.calibration}", "kspace", "maps")
    bart_seconds = min(bart.run(*ecalib) for _ in range(REPEATS))
    error = map_error(maps, bart.read("maps"), foreground(reference))
    print(f"\n{added_noise}x added noise, {int(scan.counts[0, :, 0].sum())} of {shape[1]} lines")
    print(f"  {'method':<28}{'PSNR / dB':>10}{'SSIM':>8}{'seconds':>9}")
    print(f"  {'maps, NRMSE to ecalib':<28}{100 * error:>9.2f}%{'':>8}{seconds:>9.2f}")
    print(f"  {'bart ecalib':<46}{bart_seconds:>9.2f}")
    operator = SenseOperator(maps, scan.counts)
    data = operator.data(scan.kspace)
    for name, method in METHODS.items():
        image, seconds = timed(partial(method, operator, data))
        quality = f"{psnr(image, reference):>10.2f}{ssim(image, reference, foreground(reference)):>8.3f}"
        print(f"  {name:<28}{quality}{seconds:>9.2f}")
    best, value, seconds = bart_l1(bart, reference)
    print(f"  {f'bart l1-wavelet, l={value:.4f}':<28}{best:>10.2f}{'':>8}{seconds:>9.2f}", flush=True)


def main() -> int:
    """Run all noise levels; 2 when BART or the data are missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of brain_t1_8ch_espirit_full.h5")
    parser.add_argument("--acceleration", type=int, default=4)
    parser.add_argument("--calibration", type=int, default=24, help="fully sampled lines in the centre")
    parser.add_argument("--seed", type=int, default=0, help="of the added noise")
    options = parser.parse_args()
    program, path = shutil.which("bart"), options.data / "brain_t1_8ch_espirit_full.h5"
    if program is None or not path.is_file():
        missing = f"{path} is not there" if program else "the program bart is not installed (Debian package bart)"
        print(f"cannot compare: {missing}", file=sys.stderr)
        return 2
    full = load(path)
    first = full.shape[2] // 2 - options.calibration // 2
    maps = espirit_maps(full[:, :, first : first + options.calibration], full.shape[1:])
    coil_images = ifft(full)
    reference = np.sum(np.conj(maps) * coil_images, axis=0)
    rss = np.sum(np.abs(coil_images) ** 2, axis=0)
    cut = 1 - float(rss[np.any(maps != 0, axis=0)].sum() / rss.sum())
    print(f"energy of the full scan outside the maps' support: {100 * cut:.2f} %, most of it noise")
    with tempfile.TemporaryDirectory() as folder:
        for added_noise in ADDED_NOISE:
            compare(Bart(program, Path(folder)), full, reference, added_noise, options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
