"""The predicted error map of subjects that neither training nor calibration saw: coverage, bound, and rank correlation.

usage: python benchmarks/uncertainty.py --data DIR [--scans 2] [--samples] [--weights NAME|FILE] [--json FILE]

DIR holds magnitude/val, kspace/complex_t2_28.h5 and kspace/brain_t1_8ch_espirit_full.h5. Scans of every validation subject are
simulated in every class of acceleration and noise. Each subject is judged by the calibration on all others: coverage is the
share of the pixels of its object, in all its scans, with | |image| - |truth| | <= kappa map, and the PSNR bound holds if every
image of the subject is above it. Spearman: rank correlation of map and absolute error over the pixels of one image, and of
their means over 5 x 5 pixels. The brain scan is judged by the calibration that is stored with the weights, on request also with
posterior samples; its reference has noise of its own, which the data share.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage, stats

from lesions import load, problem_of
from nilatron.core.metrics import foreground, psnr
from nilatron.core.prior.edm_weights import EDMPrior, load_prior
from nilatron.core.prior.errors.head import ln_variance
from nilatron.core.prior.errors.model import ErrorModel
from nilatron.core.prior.errors.training import ErrorExample
from nilatron.core.prior.weights import find_weights
from nilatron.core.uncertainty.calibration import SubjectScores, calibrated
from nilatron.gadgets.nila.budget import Stopwatch
from nilatron.gadgets.nila.method import run_nila
from nilatron.gadgets.nila.prior import ReadyPrior, prior_for
from nilatron.gadgets.nila.run import NilaRun
from nilatron.gadgets.nila.settings import NilaNodeSettings
from nilatron.pipelines.prior.calibrate import CalibrateSettings, psnr_margin_db, simulated, subject_scores
from nilatron.pipelines.prior.subjects import images_by_subject
from report import Cell, markdown, write_json
from scans import BRAIN, with_noise
from simulated import complex_slices

SUBJECT = r"^(TCGA_\w\w_\w{4}|patient\d+|complex_t2)"
BANDS = ("R 2", "R 3, 4", "R 6, 8"), ("0.006 to 0.02", "0.02 to 0.05", "0.05 to 0.12")
LEVEL = 0.9
REPEATS = 7
Pixels = npt.NDArray[np.floating]


def spearman(deviation: Pixels, error: Pixels, inside: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Rank correlation over single pixels, and over means of 5 x 5 pixels, (y, x)."""
    pooled = [ndimage.uniform_filter(image.astype(np.float64), 5)[2::5, 2::5] for image in (deviation, error, inside)]
    whole = pooled[2] > 0.99
    return (
        float(stats.spearmanr(deviation[inside], error[inside]).statistic),
        float(stats.spearmanr(pooled[0][whole], pooled[1][whole]).statistic),
    )


def deviation_of(errors: ErrorModel, example: ErrorExample) -> Pixels:
    """Predicted map (y, x)."""
    return (ln_variance(errors.head, example.seen) / 2).exp().detach().numpy()[0]


def judged(errors: ErrorModel, examples: Sequence[ErrorExample], others: Sequence[SubjectScores]) -> dict[str, float]:
    """One subject in one class, by the calibration on the others."""
    found = calibrated({(0, 0): others}).classes[0, 0]
    inside, ratios, ranks, bounds = [], [], [], []
    for example in examples:
        deviation, error, mask = (
            deviation_of(errors, example),
            example.error.abs().numpy()[0],
            example.inside.numpy()[0],
        )
        ratios.append((error / deviation)[mask])
        ranks.append(spearman(deviation, error, mask))
        bounds.append(psnr_margin_db(example, (ln_variance(errors.head, example.seen) / 2).exp().detach()))
        inside.append(mask)
    pixel, pooled = np.mean(ranks, axis=0)
    return {
        "coverage": float(np.mean(np.concatenate(ratios) <= found.kappa)),
        "pixel": float(pixel),
        "pooled": float(pooled),
        "bound": float(max(bounds) <= found.psnr_margin_db),
        "kappa": found.kappa,
    }


def class_rows(prior: EDMPrior, errors: ErrorModel, settings: CalibrateSettings) -> Iterator[dict[str, Cell]]:
    """One row for every class."""
    subjects = images_by_subject(settings.images, settings.subject)
    for key in product(range(3), range(3)):
        by_subject = simulated(prior, subjects, key, settings, lambda _: None)
        scores = {name: subject_scores(errors, found, LEVEL) for name, found in by_subject.items()}
        results = {
            name: judged(errors, found, [score for other, score in scores.items() if other != name])
            for name, found in by_subject.items()
        }
        values = {part: [result[part] for result in results.values()] for part in next(iter(results.values()))}
        worst = min(results, key=lambda name: results[name]["coverage"])
        row: dict[str, Cell] = {
            "acceleration": BANDS[0][key[0]],
            "noise": BANDS[1][key[1]],
            "subjects": len(results),
            "coverage": f"{np.mean(values['coverage']):.3f}",
            "worst": f"{min(values['coverage']):.3f} ({worst})",
            "kappa": f"{np.mean(values['kappa']):.2f}",
            "Spearman": f"{np.mean(values['pixel']):.2f}",
            "5 x 5": f"{np.mean(values['pooled']):.2f}",
            "bound holds": f"{np.mean(values['bound']):.2f}",
        }
        print(row, file=sys.stderr, flush=True)
        yield row


def brain_rows(data: Path, weights: Path, with_samples: bool) -> Iterator[dict[str, Cell]]:
    """The brain scan, by the calibration of the weights; on request also with the spread of posterior samples."""
    brain, mapped = load(data), NilaNodeSettings(series=("nila", "uncertainty"))
    truth, inside = np.abs(brain.image[0]), foreground(brain.image)[0]
    variants = [mapped, replace(mapped, uncertainty_from="samples")][: 1 + with_samples]
    for acceleration, noise, settings in product((4, 6), (0, 2, 4), variants):
        problem = problem_of(with_noise(brain.full, noise, 0), acceleration, weights)
        outcome = run_nila(problem, settings)
        image, deviation = (np.abs(outcome.images[role][0]) for role in ("main", "uncertainty"))
        gain = float(
            np.sum(image * truth) / np.sum(image**2)
        )  # noise of variance 1 is another unit at every noise level
        error = np.abs(gain * image - truth)
        pixel, pooled = spearman(deviation, error, inside)
        kappa = outcome.provenance.get("uncertainty_kappa")
        covered = float(np.mean(error[inside] <= gain * float(kappa) * deviation[inside])) if kappa else None
        row: dict[str, Cell] = {
            "R": acceleration,
            "noise": f"{noise}x",
            "map from": outcome.provenance["uncertainty_from"],
            "kappa": kappa or "uncalibrated",
            "coverage": "" if covered is None else f"{covered:.3f}",
            "Spearman": f"{pixel:.2f}",
            "5 x 5": f"{pooled:.2f}",
            "PSNR / dB": psnr(image, truth, inside),
            "bound / dB": outcome.provenance.get("psnr_bound_db", ""),
        }
        print(row, file=sys.stderr, flush=True)
        yield row


def seconds(data: Path, weights: Path, with_samples: bool) -> dict[str, Cell]:
    """Processor seconds of one image with its map and without, in turns, the best of 7; of 8 samples on request.

    Both are made without a second look, which is no part of the map.
    """
    brain, mapped = load(data), NilaNodeSettings(series=("nila", "uncertainty"))
    problem = problem_of(with_noise(brain.full, 2, 0), 4, weights)
    ready = prior_for(weights, "cpu", mapped.engine_settings)
    if ready.errors is None:
        raise ValueError(f"{weights} predict no errors")
    ready, plain = replace(ready, errors=replace(ready.errors, second_look=None)), replace(ready, errors=None)

    def taken(settings: NilaNodeSettings, prior: ReadyPrior) -> float:
        began = time.process_time()
        run = NilaRun([problem], settings, Stopwatch(0.0, 0.0, time.monotonic), prior)
        plan = run.plan()
        run.with_samples(run.images(plan)[0], 0, plan)
        return time.process_time() - began

    pairs = [(taken(replace(mapped, series=("nila",)), plain), taken(mapped, ready)) for _ in range(REPEATS)]
    alone, both = (min(column) for column in zip(*pairs, strict=True))
    samples = taken(replace(mapped, uncertainty_from="samples"), ready) if with_samples else None
    return {
        "image / s": alone,
        "with the map / s": both,
        "more": f"{both / alone - 1:.1%}",
        "with 8 samples / s": samples,
    }


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--scans", type=int, default=2, help="for every subject and class")
    parser.add_argument("--samples", action="store_true", help="the brain scan with posterior samples too")
    parser.add_argument("--weights", type=find_weights, default="default", help="default or a file")
    parser.add_argument("--seed", type=int, default=1, help="of the scans; that of the calibration is 0")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the tables here too")
    return parser.parse_args()


def main() -> int:
    """Print the tables; 2 when data or the error head are missing."""
    options = parsed()
    validation = options.data / "magnitude" / "val"
    if not validation.is_dir() or not (options.data / "kspace" / BRAIN).is_file():
        print(f"needs magnitude/val and kspace/{BRAIN} in {options.data}", file=sys.stderr)
        return 2
    prior = load_prior(options.weights)
    if prior.errors is None:
        print(f"{options.weights} predict no errors", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        for item in complex_slices(options.data):
            np.save(Path(folder) / f"complex_t2_{item.name}.npy", item.truth[0])
        settings = CalibrateSettings(
            (validation, Path(folder)), options.weights, SUBJECT, options.scans, seed=options.seed
        )
        classes = list(class_rows(prior, prior.errors, settings))
    brain = list(brain_rows(options.data, options.weights, options.samples))
    times = [seconds(options.data, options.weights, options.samples)]
    print("\n\n".join(markdown(table) for table in (classes, brain, times)))
    if options.json:
        write_json(options.json, {"classes": classes, "brain": brain, "seconds": times})
    return 0


if __name__ == "__main__":
    sys.exit(main())
