"""The weights' familiarity: does it tell other objects from heads, at every noise level and acceleration, and how well.

usage: python benchmarks/unfamiliar.py --data DIR [--pictures FOLDER] [--repeats 1] [--weights NAME|FILE] [--json FILE]

DIR holds magnitude/val, kspace/complex_t2_28.h5 and the phantom scans of kspace/. Heads are those of the validation, one scan
of every subject in every class of acceleration and noise. Other objects: drawn fruit, limbs and machine parts, the phantoms,
and every PNG below FOLDER, each in `--repeats` random classes. All are simulated and reconstructed as `uncertainty.py` does.
Area under the ROC: how often an object scores higher than a head. No image here was used to train, nor to set the threshold.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path

import numpy as np
import torch

from nilatron.core.prior.edm_weights import EDMPrior, load_prior
from nilatron.core.prior.errors.training import example_of
from nilatron.core.prior.familiarity import Familiarity
from nilatron.core.prior.training_scans import ScanSettings, draw_scan
from nilatron.core.prior.weights import find_weights
from nilatron.pipelines.prior.calibrate import ACCELERATIONS, NOISES, CalibrateSettings, simulated
from nilatron.pipelines.prior.subjects import images_by_subject
from report import Cell, markdown, write_json
from simulated import complex_slices
from uncertainty import SUBJECT
from unfamiliar_objects import Picture, drawn, phantoms, pictures

PER_KIND = 6  # of every drawn kind


def head_scores(prior: EDMPrior, familiarity: Familiarity, options: argparse.Namespace) -> dict[str, list[float]]:
    """Scores of the validation's heads, by subject."""
    scores: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for item in complex_slices(options.data):
            np.save(Path(folder) / f"complex_t2_{item.name}.npy", item.truth[0])
        settings = CalibrateSettings(
            (options.data / "magnitude" / "val", Path(folder)), options.weights, SUBJECT, 1, seed=options.seed
        )
        subjects = images_by_subject(settings.images, settings.subject)
        for key in product(range(len(ACCELERATIONS)), range(len(NOISES))):
            for name, found in simulated(prior, subjects, key, settings, lambda _: None).items():
                scores.setdefault(name, []).append(float(familiarity.scores(found[0].seen.image.abs())))
    return scores


def object_scores(
    prior: EDMPrior, familiarity: Familiarity, items: Iterable[tuple[str, Picture]], options: argparse.Namespace
) -> dict[str, list[float]]:
    """Scores of other objects, by kind."""
    scores: dict[str, list[float]] = {}
    generator, torch_generator = np.random.default_rng(options.seed), torch.Generator().manual_seed(options.seed)
    for name, picture in items:
        image = torch.from_numpy(picture / np.float32(np.percentile(picture, 99.5)))
        for _ in range(options.repeats):
            acceleration, noise = (int(i) for i in generator.integers(0, 3, 2))
            scans = ScanSettings(accelerations=ACCELERATIONS[acceleration], sigma=NOISES[noise])
            look = None if prior.errors is None else prior.errors.second_look
            example = example_of(prior.denoiser, draw_scan([image], scans, torch_generator), generator, look=look)
            scores.setdefault(name, []).append(float(familiarity.scores(example.seen.image.abs())))
    return scores


def area(others: Iterable[float], heads: Iterable[float]) -> float:
    """Area under the ROC: probability that one of the others scores higher than a head, ties by half."""
    difference = np.subtract.outer(np.fromiter(others, float), np.fromiter(heads, float))
    return float(np.mean((difference > 0) + 0.5 * (difference == 0)))


def rows(heads: dict[str, list[float]], others: dict[str, list[float]], threshold: float) -> Iterator[dict[str, Cell]]:
    """One row for all heads, all others, and every kind of them."""
    known = [score for scores in heads.values() for score in scores]
    every = [score for scores in others.values() for score in scores]
    groups = {"heads": known, **{f"head {k}": v for k, v in heads.items()}, "others": every, **others}
    for name, scores in groups.items():
        is_head = name.startswith("head")
        yield {
            "of": name,
            "images": len(scores),
            "median score": f"{np.median(scores):.2f}",
            "marked": f"{np.mean(np.array(scores) > threshold):.1%}",
            "area under ROC": "" if is_head else f"{area(scores, known):.3f}",
        }


def main() -> int:
    """Print the table; 2 when data are missing or the weights know nothing of the kind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--pictures", type=Path, help="folder of pictures of other objects, by kind in subfolders")
    parser.add_argument("--repeats", type=int, default=1, help="scans of every object")
    parser.add_argument("--weights", type=find_weights, default="default", help="default or a file")
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table here too")
    options = parser.parse_args()
    if not (options.data / "magnitude" / "val").is_dir():
        print(f"needs magnitude/val in {options.data}", file=sys.stderr)
        return 2
    prior = load_prior(options.weights)
    if prior.errors is None or prior.errors.familiarity is None:
        print(f"{options.weights} do not know what is familiar", file=sys.stderr)
        return 2
    familiarity = prior.errors.familiarity
    items = [*drawn(PER_KIND, np.random.default_rng(options.seed)), *phantoms(options.data)]
    items += [] if options.pictures is None else pictures(options.pictures)
    others = object_scores(prior, familiarity, items, options)
    table = list(rows(head_scores(prior, familiarity, options), others, familiarity.threshold))
    print(
        f"threshold {familiarity.threshold:.2f}, stated false alarms {familiarity.false_alarms:.2%}\n\n{markdown(table)}"
    )
    if options.json:
        write_json(options.json, table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
