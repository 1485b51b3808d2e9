"""How much of the contrast of small lesions is left in an image, and what it holds that the truth does not.

usage: python benchmarks/lesions.py --data DIR [--acceleration 4 6] [--noise 4] [--detail 0 0.5] [--weights NAME|FILE]

DIR holds kspace/brain_t1_8ch_espirit_full.h5. Lesions, factors 1 + contrast on discs of tissue, are added to the image of the
full scan, and what they change to its k-space; then noise is added, every R-th line and 24 calibration lines are kept. The
same scan, with the same noise, is reconstructed without lesions. Recovered contrast of a lesion: mean change of the magnitude
on its pixels by that of the truth. PSNR is that of the image without lesions against the full scan. High-pass: amplitude of
fine detail in the smoother half of the tissue by that of the full scan, which has noise of its own. False blobs: spots of at
least 3 pixels where image and truth, both averaged over 3 x 3 pixels, differ by more than 10 % of the tissue.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from nilatron.core.backend import ComplexArray
from nilatron.core.coils.espirit import espirit_maps
from nilatron.core.fft import fft
from nilatron.core.metrics import psnr
from nilatron.core.prior.lesions import lesion
from nilatron.core.prior.weights import find_weights
from nilatron.core.recon import warm_started
from nilatron.core.sense import SenseOperator
from nilatron.gadgets.nila.method import run_nila
from nilatron.gadgets.nila.settings import NilaNodeSettings
from nilatron.gadgets.problem import Problem
from report import Cell, markdown, write_json
from scans import BRAIN, combined, full_scan_maps, load_brain, undersample, with_noise

Mask = npt.NDArray[np.float32]
CASES = ((0.2, 5.0), (0.2, 3.0), (0.5, 5.0))  # contrast, diameter in pixels
PER_SCAN, N_SCANS = 10, 4
DISTANCE = 16  # pixels between lesions
EDGE = 0.5  # pixels
TISSUE = 0.35  # of the image scale
BLOB = 0.1


@dataclass(frozen=True)
class Brain:
    """The full scan, its maps and its image (z, y, x)."""

    full: ComplexArray
    maps: ComplexArray
    image: ComplexArray

    @property
    def scale(self) -> float:
        """Image scale."""
        return float(np.percentile(np.abs(self.image), 99.5))


def places(brain: Brain, n: int, generator: np.random.Generator) -> list[tuple[int, int]]:
    """Centres (y, x) of lesions: even tissue, none near another."""
    magnitude = np.abs(brain.image[0]) / brain.scale
    smooth = ndimage.uniform_filter(magnitude, 9)
    spread = np.sqrt(np.maximum(ndimage.uniform_filter(magnitude**2, 9) - smooth**2, 0))
    usable = (smooth > TISSUE) & (spread < 0.25 * smooth) & ndimage.binary_erosion(magnitude > 0.1, iterations=8)
    candidates = generator.permutation(np.argwhere(usable))
    chosen: list[tuple[int, int]] = []
    for y, x in candidates:
        if all((y - v) ** 2 + (x - u) ** 2 >= DISTANCE**2 for v, u in chosen):
            chosen.append((int(y), int(x)))
        if len(chosen) == n:
            break
    return chosen


def discs(brain: Brain, centres: list[tuple[int, int]], diameter: float) -> list[Mask]:
    """Profile (y, x) of each lesion."""
    return [lesion(brain.image.shape, centre, diameter, EDGE).numpy() for centre in centres]


def problem_of(full: ComplexArray, acceleration: int, weights: Path) -> Problem:
    """The undersampled scan with its conventional image."""
    scan = undersample(full, acceleration)
    operator = SenseOperator(espirit_maps(scan.calibration, scan.shape), scan.counts)
    return Problem.of(warm_started(operator, operator.data(scan.kspace)), np.random.default_rng(0), weights=weights)


def recovered(
    brain: Brain,
    without: npt.NDArray[np.floating],
    case: tuple[float, float],
    scan: tuple[int, float, int],
    method: Method,
) -> list[float]:
    """Recovered contrast of each lesion of one scan (acceleration, added noise, seed)."""
    acceleration, noise, seed = scan
    contrast, diameter = case
    generator = np.random.default_rng(seed)
    profiles = discs(brain, places(brain, PER_SCAN, generator), diameter)
    signs = generator.choice([-1.0, 1.0], len(profiles))
    factor = np.sum([sign * contrast * profile for sign, profile in zip(signs, profiles, strict=True)], axis=0)
    change = np.asarray(brain.image * factor, np.complex64)
    lesioned = brain.full + fft(brain.maps * change)
    # the noise is added in the same units as without lesions
    noisy = with_noise(lesioned, noise, 0)
    image = np.abs(method(noisy, acceleration))[0] - without
    truth = np.abs(brain.image + change)[0] - np.abs(brain.image)[0]
    unit = (1 + noise**2) ** -0.5  # `with_noise` makes the variance of all noise 1 again
    return [float(np.sum(image * p) / np.sum(unit * truth * p)) for p in profiles]


class Method:
    """A reconstruction of full k-space (coil, z, y, x) at an acceleration."""

    def __init__(self, settings: NilaNodeSettings | None, weights: Path) -> None:
        self.settings, self.weights = settings, weights

    def __call__(self, full: ComplexArray, acceleration: int) -> ComplexArray:
        """Image (z, y, x); CG-SENSE without settings."""
        problem = problem_of(full, acceleration, self.weights)
        image: ComplexArray = problem.conventional
        if self.settings is not None:
            image = run_nila(problem, self.settings).images["main"]
        return image


def false_blobs(image: ComplexArray, truth: ComplexArray) -> int:
    """Spots that the truth does not have, see above."""
    x, t = (ndimage.uniform_filter(np.abs(a[0]), 3) for a in (image, truth))
    scale = float(np.percentile(t, 99.5))
    tissue = ndimage.binary_erosion(t > 0.15 * scale, iterations=3)
    x = x * np.sum(x * t) / np.sum(x * x)
    spots, n = ndimage.label((np.abs(x - t) > BLOB * t) & tissue)
    return int(np.sum(ndimage.sum_labels(np.ones_like(t), spots, range(1, n + 1)) >= 3)) if n else 0


def high_pass(image: ComplexArray, truth: ComplexArray) -> float:
    """Energy of fine detail in smooth tissue, image by truth, as a ratio of amplitudes."""
    t = np.abs(truth[0])
    detail = [np.abs(a[0]) - ndimage.gaussian_filter(np.abs(a[0]), 1.5) for a in (image, truth)]
    tissue = ndimage.binary_erosion(t > 0.15 * np.percentile(t, 99.5), iterations=4)
    slope = ndimage.gaussian_gradient_magnitude(t, 2.5)
    smooth = tissue & (slope < np.median(slope[tissue]))
    gain = float(np.sum(np.abs(image) * np.abs(truth)) / np.sum(np.abs(image) ** 2))
    ratio: float = gain * float(np.sqrt(np.mean(detail[0][smooth] ** 2) / np.mean(detail[1][smooth] ** 2)))
    return ratio


def rows(brain: Brain, options: argparse.Namespace) -> Iterator[dict[str, Cell]]:
    """One row for each acceleration, noise and method."""
    methods: dict[str, Method] = {"CG-SENSE": Method(None, options.weights)}
    for detail in options.detail:
        methods[f"Nila, detail {'auto' if detail is None else detail}"] = Method(
            replace(NilaNodeSettings(), detail=detail), options.weights
        )
    for acceleration in options.acceleration:
        for noise in options.noise:
            for name, method in methods.items():
                image = method(with_noise(brain.full, noise, 0), acceleration)
                without = np.abs(image)[0]
                row: dict[str, Cell] = {
                    "R": acceleration,
                    "noise": f"{noise:g}x",
                    "method": name,
                    "PSNR / dB": psnr(image, brain.image),
                    "high-pass": f"{high_pass(image, brain.image):.2f}",
                    "false blobs": false_blobs(image, brain.image),
                }
                for case in CASES:
                    found = [
                        value
                        for seed in range(N_SCANS)
                        for value in recovered(brain, without, case, (acceleration, noise, seed), method)
                    ]
                    row[f"{case[0]:.0%}, {case[1]:g} px"] = f"{np.mean(found):.2f} ({len(found)})"
                print(row, file=sys.stderr, flush=True)
                yield row


@lru_cache
def load(data: Path) -> Brain:
    """The development scan."""
    full = load_brain(data / "kspace")
    maps = full_scan_maps(full)
    return Brain(full, maps, combined(full, maps))


def main() -> int:
    """Print the table; 2 when the data are missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--acceleration", type=int, nargs="+", default=[4, 6])
    parser.add_argument("--noise", type=float, nargs="+", default=[4.0], help="added, by that of the scan")
    parser.add_argument("--detail", type=float, nargs="+", default=[None], help="by default that of the scan")
    parser.add_argument("--weights", type=find_weights, default="default", help="default, tiny or a file")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table here too")
    options = parser.parse_args()
    if not (options.data / "kspace" / BRAIN).is_file():
        print(f"needs kspace/{BRAIN} in {options.data}", file=sys.stderr)
        return 2
    table = list(rows(load(options.data), options))
    print(markdown(table))
    if options.json:
        write_json(options.json, table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
