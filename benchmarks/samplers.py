"""Our image and samples beside other posterior samplers: error, coverage and variance, on an exact prior and on a brain scan.

usage: python benchmarks/samplers.py --data DIR [--noise 2] [--acceleration 4] [--samplers ours pula]
           [--simulated 5] [--json FILE]

Exact prior: a Gaussian on a grid of 16 x 16, whose denoiser and posterior are known (`analytic.py`); means over scans of noise
0.03 and 0.1 and several images. "Distance" is that of the samples' mean from the posterior mean, relative to what as many exact
samples have; "variance" the samples' by that of the posterior. Brain: the full scan of DIR/kspace with added noise, every R-th
line and 24 calibration lines. PSNR and SSIM of the magnitude against the full scan, which has noise of its own. Coverage: share
of the object's pixels whose magnitude is within the 90 % interval of Student's distribution about the samples' mean
(uncalibrated).
Variance ratio: mean squared error of the mean's magnitude by the variance that samples predict for it, of pixels and of means
over 5 x 5 pixels. On request also scans that are simulated from DIR/magnitude/val, in every class of acceleration and noise:
there the ratios are geometric means. Seconds are those of one processor. Every method is given the same operator, noise level
and network.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path

import numpy as np

from analytic import AnalyticCase, analytic_case
from lesions import load, problem_of
from nilatron.core.backend import ComplexArray
from nilatron.core.metrics import psnr
from nilatron.core.prior.weights import find_weights
from nilatron.core.sampling.nila_fast import nila_fast
from nilatron.core.sampling.schedule import karras_schedule
from nilatron.gadgets.nila.prior import prior_for
from posterior.methods import (
    PUBLISHED_STEPS,
    SETTINGS,
    Method,
    Scan,
    default,
    independent,
    measured,
    methods,
    scan_with_image,
)
from posterior.rows import image_row, judged, row_of
from posterior.simulated_scans import class_rows
from report import Cell, markdown, write_json
from scans import BRAIN, with_noise

ANALYTIC_NOISE, ANALYTIC_SEEDS, ANALYTIC_STEPS = (0.03, 0.1), range(4), 16
GAIN = (1, 2, 4, 8, 10)
IMAGE = "Nila, image"


def analytic_scan(case: AnalyticCase) -> Scan:
    """The analytic case with our image, whose error is taken from the exact posterior."""
    image = nila_fast(
        case.prior.estimate,
        case.operator,
        case.data,
        karras_schedule(ANALYTIC_STEPS),
        start=case.conventional[None],
        sigma=case.sigma,
        scale=1.0,
        tau=0.0,
        generator=np.random.default_rng(0),
    ).image[0]
    error = float(np.sqrt(case.variance.mean() / 2))  # half of the complex variance is that of the magnitude
    share = case.operator.n_samples / case.data.size
    return Scan(case.prior.estimate, case.operator, case.data, case.sigma, 1.0, case.conventional, image, error, share)


def analytic_rows(chosen: Mapping[str, Method], n: int) -> Iterator[dict[str, Cell]]:
    """One row for each noise level and method."""
    for sigma in ANALYTIC_NOISE:
        cases = [analytic_case(sigma, seed) for seed in ANALYTIC_SEEDS]
        scans = [analytic_scan(case) for case in cases]

        def excess(case: AnalyticCase, image: ComplexArray) -> float:
            exact = np.sqrt(case.variance.sum() / n)
            return float(np.linalg.norm(image - case.mean) / exact)

        images = [excess(case, scan.image) for case, scan in zip(cases, scans, strict=True)]
        yield {
            "noise": sigma,
            "sampler": IMAGE,
            "PSNR / dB": float(np.mean([psnr(s.image, c.truth) for s, c in zip(scans, cases, strict=True)])),
            "distance": float(np.mean(images)),
            "variance": None,
            "coverage": None,
        }
        for method in chosen.values():
            pairs = [(method.draw(scan, n), case) for scan, case in zip(scans, cases, strict=True)]
            variances = [(one.standard_deviation**2).sum() / case.variance.sum() for one, case in pairs]
            row: dict[str, Cell] = {
                "noise": sigma,
                "sampler": method.label,
                "PSNR / dB": float(np.mean([psnr(one.mean, case.truth) for one, case in pairs])),
                "distance": float(np.mean([excess(case, one.mean) for one, case in pairs])),
                "variance": float(np.mean(variances)),
                "coverage": f"{np.mean([judged(one, case.truth).coverage for one, case in pairs]):.2f}",
            }
            print(row, file=sys.stderr, flush=True)
            yield row


def brain_rows(
    chosen: Mapping[str, Method], options: argparse.Namespace, scan: Scan, truth: ComplexArray, of_image_s: float
) -> Iterator[dict[str, Cell]]:
    """One row for each method, on one scan."""
    yield image_row(IMAGE, scan.image, truth, SETTINGS.steps, of_image_s)
    for method in chosen.values():
        n = options.samples if method.ours else options.other_samples
        found, evaluations, seconds = measured(scan, method.draw, n)
        if method.shared:
            evaluations, seconds = evaluations + SETTINGS.steps, seconds + of_image_s
        row = row_of(method.label, found, truth, evaluations, seconds)
        print(row, file=sys.stderr, flush=True)
        yield row


def gain_rows(scan: Scan, truth: ComplexArray) -> Iterator[dict[str, Cell]]:
    """PSNR of the mean of more and more samples; seconds without the image."""
    alone = independent(scan, max(GAIN)).samples
    for n in GAIN:
        found, _, seconds = measured(scan, default, max(n, 2))
        row: dict[str, Cell] = {
            "samples": n,
            "mean / dB": psnr(found.samples[:n].mean(axis=0), truth),
            "with independent noise / dB": psnr(alone[:n].mean(axis=0), truth),
            "seconds": seconds * n / max(n, 2),
        }
        print(row, file=sys.stderr, flush=True)
        yield row


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--acceleration", type=int, nargs="*", default=[4])
    parser.add_argument("--noise", type=float, nargs="+", default=[2.0], help="added, by that of the scan")
    names = list(methods())
    parser.add_argument("--samplers", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--samples", type=int, default=8, help="of ours")
    parser.add_argument("--other-samples", type=int, default=2, help="of those with 100 and more evaluations")
    parser.add_argument("--gain", action="store_true", help="with the PSNR of the mean of 1, 2, 4, 8 and 10 samples")
    parser.add_argument("--simulated", type=int, default=0, metavar="N", help="with scans of N subjects in each class")
    parser.add_argument("--seed", type=int, default=1, help="of the simulated scans")
    parser.add_argument("--published-steps", type=int, default=PUBLISHED_STEPS, help="a divisor of 1000")
    parser.add_argument("--weights", type=find_weights, default="default", help="default, tiny or a file")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the tables here too")
    return parser.parse_args()


def main() -> int:
    """Print the tables; 2 when the data are missing."""
    options = parsed()
    if not (options.data / "kspace" / BRAIN).is_file():
        print(f"needs kspace/{BRAIN} in {options.data}", file=sys.stderr)
        return 2
    chosen = {name: method for name, method in methods(options.published_steps).items() if name in options.samplers}
    analytic = list(analytic_rows(chosen, options.samples))
    brain, prior = load(options.data), prior_for(options.weights, "cpu", SETTINGS.engine_settings)
    rows: list[dict[str, Cell]] = []
    gain: list[dict[str, Cell]] = []
    for acceleration, noise in product(options.acceleration, options.noise):
        full = with_noise(brain.full, noise, 0)
        scan, seconds = scan_with_image(problem_of(full, acceleration, options.weights), prior)
        truth = np.asarray(brain.image / np.float32(math.sqrt(1 + noise**2)))  # the unit of `with_noise`
        place: dict[str, Cell] = {"R": acceleration, "noise": f"{noise:g}x"}
        rows += (place | row for row in brain_rows(chosen, options, scan, truth, seconds))
        if options.gain:
            gain += (place | row for row in gain_rows(scan, truth))
    simulated: list[dict[str, Cell]] = []
    if options.simulated:
        fast = {name: method for name, method in chosen.items() if method.ours}
        simulated += class_rows(
            options.data, fast, prior, options.weights, options.simulated, options.samples, options.seed
        )
    tables = {"analytic": analytic, "brain": rows, "gain": gain, "simulated": simulated}
    print("\n\n".join(markdown(table) for table in tables.values() if table))
    if options.json:
        write_json(options.json, tables)
    return 0


if __name__ == "__main__":
    sys.exit(main())
