"""Our image and samples beside other posterior samplers: error, coverage and variance, on an exact prior and on a brain scan.

usage: python benchmarks/samplers.py --data DIR [--noise 2] [--acceleration 4] [--samples 8] [--other-samples 4] [--json FILE]

Exact prior: a Gaussian on a grid of 16 x 16, whose denoiser and posterior are known (`analytic.py`); means over scans of noise
0.03 and 0.1 and several images. "Distance" is that of the samples' mean from the posterior mean, relative to what as many exact
samples have; "variance" the samples' by that of the posterior. Brain: the full scan of DIR/kspace with added noise, every R-th
line and 24 calibration lines. PSNR and SSIM of the magnitude against the full scan, which has noise of its own. Coverage: share
of the object's pixels whose magnitude is within the 90 % interval of Student's distribution about the samples' mean
(uncalibrated).
Variance ratio: mean squared error of the mean's magnitude by the variance that samples predict for it. Seconds are those of
one processor. Every method is given the same operator, noise level and network.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
from scipy import stats

from analytic import AnalyticCase, analytic_case
from lesions import load, problem_of
from nilatron.core.backend import Array, ComplexArray
from nilatron.core.measurement import Measurement, mask_outside_coils
from nilatron.core.metrics import foreground, psnr, ssim
from nilatron.core.prior.prior import Denoiser, Estimate
from nilatron.core.prior.weights import find_weights
from nilatron.core.sampling.nila import NilaSettings, nila
from nilatron.core.sampling.nila_fast import nila_fast
from nilatron.core.sampling.posterior import (
    CENTRED,
    DEFAULT_SPLIT,
    SPLIT_ERRORS,
    Posterior,
    SampleSettings,
    sample_posterior,
)
from nilatron.core.sampling.predictor_corrector import predictor_corrector
from nilatron.core.sampling.pula import pula
from nilatron.core.sampling.schedule import karras_schedule
from nilatron.gadgets.nila.budget import Stopwatch
from nilatron.gadgets.nila.prior import ReadyPrior, prior_for
from nilatron.gadgets.nila.run import NilaRun, SliceImage
from nilatron.gadgets.nila.settings import NilaNodeSettings
from nilatron.gadgets.problem import Problem
from report import Cell, markdown, write_json
from scans import BRAIN, with_noise

SETTINGS = NilaNodeSettings(series=("nila", "mean"))
APART = SampleSettings(split_sigma=0.5, sample_steps=16)
WIDE = SampleSettings(sample_steps=5)
PUBLISHED_STEPS = 100
ANALYTIC_NOISE, ANALYTIC_SEEDS = (0.03, 0.1), range(4)
GAIN = (1, 2, 4, 8, 10)


@dataclass(frozen=True)
class Scan:
    """What every sampler takes, and where ours starts.

    Attributes
    ----------
    image
        Burn-in of our samples (z, y, x).
    error
        Its predicted rms error, image scale 1.
    """

    denoiser: Denoiser
    operator: Measurement
    data: Array
    sigma: float
    scale: float
    conventional: Array
    image: Array
    error: float | None


def ours(scan: Scan, n: int, *, seed: int = 0, balanced: bool = True) -> Posterior:
    """Samples that share their burn-in; with independent noise they are not centred either."""
    split = SETTINGS.split(scan.error)
    centred = CENTRED if balanced else 0.0
    return drawn(scan, n, SETTINGS.sample_levels(split), scan.image, seed=seed, balanced=balanced, centred=centred)


def wide(scan: Scan, n: int) -> Posterior:
    """Samples that part earlier, at a level of three times the predicted error, and take five steps."""
    split = WIDE.split(3 * (scan.error or DEFAULT_SPLIT) / SPLIT_ERRORS)
    return drawn(scan, n, WIDE.sample_levels(split), scan.image, seed=0, balanced=True, centred=CENTRED)


def apart(scan: Scan, n: int, *, seed: int = 0) -> Posterior:
    """Samples that share nothing."""
    return drawn(scan, n, APART.sample_levels(0.5), scan.conventional, seed=seed, balanced=False)


def drawn(
    scan: Scan, n: int, levels: tuple[float, ...], start: Array, *, seed: int, balanced: bool, centred: float = 0.0
) -> Posterior:
    """Samples of our sampler."""
    return sample_posterior(
        scan.denoiser,
        scan.operator,
        scan.data,
        levels,
        n_samples=n,
        start=start,
        sigma=scan.sigma,
        scale=scan.scale,
        generator=np.random.default_rng(seed),
        balanced=balanced,
        centred=centred,
        solver=SETTINGS.solver,
    )


def langevin(scan: Scan, n: int) -> Posterior:
    """Samples by pULA with its defaults."""
    return Posterior(
        pula(
            scan.denoiser,
            scan.operator,
            scan.data,
            n_samples=n,
            sigma=scan.sigma,
            scale=scan.scale,
            generator=np.random.default_rng(0),
        )
    )


def corrected(scan: Scan, n: int) -> Posterior:
    """Samples by the published predictor-corrector sampler."""
    return Posterior(
        predictor_corrector(
            scan.denoiser,
            scan.operator,
            scan.data,
            n_samples=n,
            sigma=scan.sigma,
            scale=scan.scale,
            generator=np.random.default_rng(0),
        )
    )


def published(scan: Scan, n: int) -> Posterior:
    """Runs of Nila as published, one after the other."""
    runs = [
        nila(
            scan.denoiser,
            scan.operator,
            scan.data,
            sigma=scan.sigma,
            scale=scan.scale,
            generator=np.random.default_rng(seed),
            settings=NilaSettings(n_steps=PUBLISHED_STEPS),
        )
        for seed in range(n)
    ]
    return Posterior(np.stack(runs))


OURS = "Nila, samples from its image"
METHODS: Mapping[str, Callable[[Scan, int], Posterior]] = {
    OURS: ours,
    "Nila, split at 3 errors, 5 steps": wide,
    "Nila, samples that share nothing": apart,
    "pULA, 100 levels": langevin,
    "predictor-corrector, 100 levels": corrected,
    f"Nila as published, {PUBLISHED_STEPS} steps": published,
}


@dataclass
class Counted:
    """A denoiser that counts the images that it is given."""

    denoiser: Denoiser
    n: int = 0

    def __call__(self, x: Array, sigma: float) -> Estimate:
        """As the denoiser."""
        self.n += int(x.shape[0]) if x.ndim == 4 else 1
        return self.denoiser(x, sigma)


def measured(scan: Scan, method: Callable[[Scan, int], Posterior], n: int) -> tuple[Posterior, int, float]:
    """Samples, evaluations of the network, and seconds of one processor."""
    counted, began = Counted(scan.denoiser), time.process_time()
    found = method(replace(scan, denoiser=counted), n)
    seconds = time.process_time() - began
    return replace(found, samples=mask_outside_coils(scan.operator, found.samples)), counted.n, seconds


def calibration(posterior: Posterior, truth: ComplexArray) -> tuple[float, float]:
    """Coverage and variance ratio, of magnitudes, over the foreground of the truth (z, y, x)."""
    inside, n = foreground(truth), len(posterior.samples)
    error = np.abs(np.abs(posterior.mean) - np.abs(truth))[inside]
    deviation = np.asarray(posterior.magnitude_deviation)[inside]
    of_mean = 1.0 if posterior.balanced else 1 + 1 / n
    quantile = float(stats.t.ppf(0.95, n - 1))  # few samples do not know the deviation well
    covered = error <= quantile * deviation * np.sqrt(of_mean)
    return float(covered.mean()), float(np.mean(error**2) / np.mean(deviation**2))


def analytic_scan(case: AnalyticCase) -> Scan:
    """The analytic case with our image, whose error is taken from the exact posterior."""
    image = nila_fast(
        case.prior.estimate,
        case.operator,
        case.data,
        karras_schedule(APART.sample_steps),
        start=case.conventional[None],
        sigma=case.sigma,
        scale=1.0,
        tau=0.0,
        generator=np.random.default_rng(0),
    ).image[0]
    error = float(np.sqrt(case.variance.mean() / 2))  # half of the complex variance is that of the magnitude
    return Scan(case.prior.estimate, case.operator, case.data, case.sigma, 1.0, case.conventional, image, error)


def analytic_rows(n: int) -> Iterator[dict[str, Cell]]:
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
            "sampler": "Nila, image",
            "PSNR / dB": float(np.mean([psnr(s.image, c.truth) for s, c in zip(scans, cases, strict=True)])),
            "distance": float(np.mean(images)),
            "variance": None,
            "coverage": None,
        }
        for name, method in METHODS.items():
            found = [method(scan, n) for scan in scans]
            pairs = list(zip(found, cases, strict=True))
            row: dict[str, Cell] = {
                "noise": sigma,
                "sampler": name,
                "PSNR / dB": float(np.mean([psnr(one.mean, case.truth) for one, case in pairs])),
                "distance": float(np.mean([excess(case, one.mean) for one, case in pairs])),
                "variance": float(
                    np.mean([(one.standard_deviation**2).sum() / case.variance.sum() for one, case in pairs])
                ),
                "coverage": f"{np.mean([calibration(one, case.truth)[0] for one, case in pairs]):.2f}",
            }
            print(row, file=sys.stderr, flush=True)
            yield row


def brain_scan(problem: Problem, prior: ReadyPrior) -> tuple[Scan, float]:
    """The scan with our image, and the seconds that this took."""
    began = time.process_time()
    run = NilaRun([problem], SETTINGS, Stopwatch(0.0, 0.0, time.monotonic), prior)
    made: SliceImage = run.images(run.plan())[0]
    seconds = time.process_time() - began
    image = made.outcome.images["main"]
    return (
        Scan(
            prior.prior.estimate,
            problem.operator,
            problem.data,
            problem.noise_level,
            problem.scale,
            problem.conventional,
            image,
            made.predicted_error,
        ),
        seconds,
    )


def brain_rows(
    options: argparse.Namespace, place: dict[str, Cell], scan: Scan, truth: ComplexArray, of_image_s: float
) -> Iterator[dict[str, Cell]]:
    """One row for each method, on one scan."""
    yield place | {
        "sampler": "Nila, image",
        "samples": None,
        "PSNR / dB": psnr(scan.image, truth),
        "of one sample / dB": None,
        "SSIM": f"{ssim(scan.image, truth):.3f}",
        "coverage": None,
        "variance ratio": None,
        "evaluations": SETTINGS.steps,
        "seconds": of_image_s,
    }
    for name, method in METHODS.items():
        n = options.samples if method in (ours, wide, apart) else options.other_samples
        if not n:
            continue
        found, evaluations, seconds = measured(scan, method, n)
        coverage, ratio = calibration(found, truth)
        shared = method in (ours, wide)
        row = place | {
            "sampler": name,
            "samples": n,
            "PSNR / dB": psnr(found.mean, truth),
            "of one sample / dB": psnr(found.samples[0], truth),
            "SSIM": f"{ssim(found.mean, truth):.3f}",
            "coverage": f"{coverage:.2f}",
            "variance ratio": ratio,
            "evaluations": evaluations + (SETTINGS.steps if shared else 0),
            "seconds": seconds + (of_image_s if shared else 0),
        }
        print(row, file=sys.stderr, flush=True)
        yield row


def gain_rows(scan: Scan, truth: ComplexArray) -> Iterator[dict[str, Cell]]:
    """PSNR of the mean of more and more samples; seconds with the image."""
    independent = ours(scan, max(GAIN), seed=1, balanced=False).samples
    for n in GAIN:
        found, _, seconds = measured(scan, ours, max(n, 2))
        row: dict[str, Cell] = {
            "samples": n,
            "mean / dB": psnr(found.samples[:n].mean(axis=0), truth),
            "with independent noise / dB": psnr(independent[:n].mean(axis=0), truth),
            "seconds": seconds * n / max(n, 2),
        }
        print(row, file=sys.stderr, flush=True)
        yield row


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--acceleration", type=int, nargs="+", default=[4])
    parser.add_argument("--noise", type=float, nargs="+", default=[2.0], help="added, by that of the scan")
    parser.add_argument("--samples", type=int, default=8, help="of ours")
    parser.add_argument("--other-samples", type=int, default=4, help="of those with 100 and more evaluations; 0: none")
    parser.add_argument("--weights", type=find_weights, default="default", help="default, tiny or a file")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the tables here too")
    return parser.parse_args()


def main() -> int:
    """Print the tables; 2 when the data are missing."""
    options = parsed()
    if not (options.data / "kspace" / BRAIN).is_file():
        print(f"needs kspace/{BRAIN} in {options.data}", file=sys.stderr)
        return 2
    analytic = list(analytic_rows(options.samples))
    brain, prior = load(options.data), prior_for(options.weights, "cpu", SETTINGS.engine_settings)
    samplers: list[dict[str, Cell]] = []
    gain: list[dict[str, Cell]] = []
    for acceleration, noise in product(options.acceleration, options.noise):
        full = with_noise(brain.full, noise, 0)
        scan, seconds = brain_scan(problem_of(full, acceleration, options.weights), prior)
        truth = np.asarray(brain.image / np.float32(math.sqrt(1 + noise**2)))  # the unit of `with_noise`
        place: dict[str, Cell] = {"R": acceleration, "noise": f"{noise:g}x"}
        samplers += brain_rows(options, place, scan, truth, seconds)
        gain += (place | row for row in gain_rows(scan, truth))
    print("\n\n".join(markdown(table) for table in (analytic, samplers, gain)))
    if options.json:
        write_json(options.json, {"analytic": analytic, "brain": samplers, "gain": gain})
    return 0


if __name__ == "__main__":
    sys.exit(main())
