"""Our samples on simulated scans of validation subjects, in every class of acceleration and noise."""

from __future__ import annotations

import math
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path

import numpy as np
from torch import Tensor

from nilatron.core.backend import ComplexArray
from nilatron.core.metrics import psnr
from nilatron.core.prior.training_scans import ScanSettings, TrainingScan, draw_scan
from nilatron.core.recon import InverseProblem
from nilatron.core.sense import SenseOperator
from nilatron.core.uncertainty.calibration import Calibration
from nilatron.gadgets.nila.prior import ReadyPrior
from nilatron.gadgets.problem import Problem
from nilatron.pipelines.prior.calibrate import ACCELERATIONS, NOISES, TRIES, Class
from nilatron.pipelines.prior.subjects import images_by_subject
from nilatron.pipelines.training.batches import seeded_generator
from posterior.methods import Method, Scan, measured, scan_with_image
from posterior.rows import judged
from report import Cell
from simulated import complex_slices
from uncertainty import BANDS, SUBJECT


def subjects_of(data: Path) -> dict[str, list[Tensor]]:
    """Images of each subject of DIR/magnitude/val, and the complex ones."""
    with tempfile.TemporaryDirectory() as folder:
        for item in complex_slices(data):
            np.save(Path(folder) / f"complex_t2_{item.name}.npy", item.truth[0])
        return images_by_subject((data / "magnitude" / "val", Path(folder)), SUBJECT)


def scan_of_class(images: Sequence[Tensor], key: Class, seed: tuple[int, ...]) -> TrainingScan:
    """A random scan of one of the images that falls into a class.

    Raises
    ------
    ValueError
        When none of several does.
    """
    settings = ScanSettings(accelerations=ACCELERATIONS[key[0]], sigma=NOISES[key[1]])
    generator = seeded_generator(*seed)
    for _ in range(TRIES):
        scan = draw_scan(images, settings, generator)
        if Calibration({}).class_of(1 / float(scan.counts.mean()), scan.sigma / scan.scale) == key:
            return scan
    raise ValueError(f"no scan of {TRIES} fell into class {key}")


def class_rows(
    data: Path, methods: Mapping[str, Method], prior: ReadyPrior, weights: Path, n_subjects: int, n: int, seed: int
) -> Iterator[dict[str, Cell]]:
    """One row for every class and method, over one scan of each of `n_subjects` subjects, which take turns."""
    every = list(subjects_of(data).values())
    for place, key in enumerate(product(range(len(ACCELERATIONS)), range(len(NOISES)))):
        scans = []
        for turn in range(n_subjects):
            who = (place * n_subjects + turn) % len(every)
            drawn = scan_of_class(every[who], key, (seed, *key, who))
            scans.append((scan_with_image(_problem(drawn, weights), prior)[0], drawn.truth.numpy()))
        for method in methods.values():
            row = _row(key, method, scans, n)
            print(row, file=sys.stderr, flush=True)
            yield row


def _problem(scan: TrainingScan, weights: Path) -> Problem:
    operator = SenseOperator(scan.coil_maps.numpy(), scan.counts.numpy())
    inverse = InverseProblem(operator, scan.data.numpy(), scan.start.numpy())
    return Problem.of(inverse, np.random.default_rng(0), weights=weights)


def _row(key: Class, method: Method, scans: Sequence[tuple[Scan, ComplexArray]], n: int) -> dict[str, Cell]:
    found = [(measured(scan, method.draw, n)[0], scan.image, truth) for scan, truth in scans]
    of_scans = [judged(posterior, truth) for posterior, _, truth in found]
    ratios = [one.ratio for one in of_scans]
    differences = [psnr(posterior.mean, truth) - psnr(image, truth) for posterior, image, truth in found]
    return {
        "acceleration": BANDS[0][key[0]],
        "noise": BANDS[1][key[1]],
        "sampler": method.label,
        "scans": len(scans),
        "mean less image / dB": float(np.mean(differences)),
        "worst": min(differences),
        "coverage": f"{np.mean([one.coverage for one in of_scans]):.2f}",
        "variance ratio": math.exp(float(np.mean(np.log(ratios)))),
        "of one scan": f"{min(ratios):.2f} to {max(ratios):.2f}",
        "of 5 x 5 means": math.exp(float(np.mean(np.log([one.pooled for one in of_scans])))),
    }
