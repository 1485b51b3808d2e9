"""Slices that know their neighbours against the same slices alone, on simulated scans of whole volumes.

usage: python benchmarks/neighbours.py --data DIR [--volumes open_ms] [--slices 12] [--step 1] [--matrix 144]
       [--acceleration 6 4] [--sigma 0.05 0.02] [--weights FILE] [--tests] [--json FILE]

DIR holds magnitude/val and kspace/coil_maps_dev.h5. Images are brought to a matrix of at most `--matrix` pixels by cropping
their k-space; the phase is smooth and changes slowly from slice to slice. 8 coils, 24 calibration lines, ESPIRiT from them.
PSNR in the foreground against the truth, and the share of its pixels whose error is within the 90 % intervals of the error map.

off     the slice alone.
both    every second slice, given the images of the slices before and after it, made alone (`neighbours` both).
past    in ascending order, given the image of the slice before, that was given the one before (published AID: its attention
        sees that slice alone when it samples).
itself  every second slice, given its own image in the place of both neighbours: what the head does without them.

`--tests`: contrast of lesions that only the neighbours have, or only this slice, and growth of the error map there; a corrupted
slice and the fourth after it.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from nilatron.core.backend import Array, ComplexArray, FloatArray
from nilatron.core.coils.espirit import espirit_maps
from nilatron.core.metrics import FOREGROUND, psnr
from nilatron.core.prior.augment import random_field
from nilatron.core.prior.lesions import lesion
from nilatron.core.prior.neighbours.planes import Neighbour
from nilatron.core.prior.weights import find_weights
from nilatron.core.recon import warm_started
from nilatron.core.resolution import coarse_image
from nilatron.core.sense import SenseOperator
from nilatron.gadgets.nila.method import run_nila
from nilatron.gadgets.nila.settings import NilaNodeSettings
from nilatron.gadgets.problem import Outcome, Problem
from report import Cell, markdown, write_json
from scans import Scan, undersample
from simulated import MAP_SETS, coil_maps, full_kspace

SETTINGS = NilaNodeSettings()
WITH_MAP = NilaNodeSettings(series=("nila", "uncertainty"))
SPACING_MM = {"open_ms": 3.0, "lgg_tcga": 2.0}  # between slices with successive numbers
MODES = ("both", "past", "itself")


@dataclass(frozen=True)
class Volume:
    """Truths (slice, y, x) of a common image scale, and the distance between them."""

    name: str
    truths: ComplexArray
    distance_mm: float


@dataclass(frozen=True)
class Protocol:
    """How the slices of a volume are measured."""

    data: Path
    acceleration: int
    sigma: float
    weights: Path


def volumes(data: Path, source: str, n_slices: int, step: int, matrix: int) -> list[Volume]:
    """The validation volumes of a source: every `step`-th slice of those around the middle, at most `n_slices`."""
    files = defaultdict(list)
    for path in sorted((data / "magnitude" / "val" / source).glob("*.png")):
        found = re.fullmatch(r"(.*?)_?(\d+)", path.stem)
        if found:
            files[found[1]].append((int(found[2]), path))
    made = []
    for name, numbered in sorted(files.items()):
        pitch = numbered[1][0] - numbered[0][0]
        paths = [path for _, path in sorted(numbered)][::step]
        first = max(0, (len(paths) - n_slices) // 2)
        magnitudes = [_picture(path) for path in paths[first : first + n_slices]]
        made.append(Volume(name, _truths(magnitudes, matrix), step * pitch * SPACING_MM[source]))
    return made


def _picture(path: Path) -> FloatArray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("L"), np.float32)


def _truths(magnitudes: Sequence[FloatArray], matrix: int) -> ComplexArray:
    """Complex images of image scale 1 of the brightest slice, their phase smooth in the slice and from slice to slice."""
    generator = torch.Generator().manual_seed(0)
    shape = (magnitudes[0].shape[0], magnitudes[0].shape[1])
    phase, drift = (random_field(shape, generator, (2, 6)).numpy() for _ in range(2))
    factor = min(1.0, matrix / max(shape))
    kept = (1, *(2 * round(n * factor / 2) for n in shape))
    images = [
        coarse_image((m * np.exp(1j * (1.5 * phase + 0.2 * n * drift)))[None], kept)[0]
        for n, m in enumerate(magnitudes)
    ]
    return np.asarray(np.stack(images) / np.percentile(np.abs(images), 99.5), np.complex64)


def problem_of(truth: ComplexArray, protocol: Protocol, seed: int) -> Problem:
    """One slice (y, x), measured."""
    return problem_from(scan_of(truth, protocol, seed), protocol, seed)


def scan_of(truth: ComplexArray, protocol: Protocol, seed: int) -> Scan:
    """The measured lines of one slice (y, x)."""
    maps = coil_maps(protocol.data, MAP_SETS[0], (1, *truth.shape))
    return undersample(full_kspace(truth[None], maps, protocol.sigma, seed), protocol.acceleration)


def problem_from(scan: Scan, protocol: Protocol, seed: int) -> Problem:
    """A slice with coil maps from its calibration lines, and its conventional image."""
    operator = SenseOperator(espirit_maps(scan.calibration, scan.shape), scan.counts)
    measured = warm_started(operator, operator.data(scan.kspace))
    return Problem.of(measured, np.random.default_rng(seed), weights=protocol.weights)


def told(
    problem: Problem, neighbours: Sequence[tuple[ComplexArray, float]], settings: NilaNodeSettings = SETTINGS
) -> Outcome:
    """The slice with the images (z, y, x) of its neighbours."""
    given = tuple(Neighbour(np.abs(image[0]).astype(np.float32), distance) for image, distance in neighbours)
    return run_nila(replace(problem, neighbours=given, generator=np.random.default_rng(0)), settings)


def alone(problem: Problem) -> ComplexArray:
    """The slice without neighbours."""
    return told(problem, ()).images["main"]


def covered(outcome: Outcome, truth: ComplexArray, protocol: Protocol, kappa: float) -> float:
    """Share of the visible pixels whose magnitude is as near to the truth (y, x) as the error map promises."""
    error = np.abs(np.abs(outcome.images["main"][0]) - np.abs(truth) / protocol.sigma)  # images are in SNR units
    return float(np.mean((error <= kappa * outcome.images["uncertainty"][0])[np.abs(truth) > FOREGROUND]))


def of_volume(volume: Volume, protocol: Protocol) -> list[dict[str, Cell]]:
    """PSNR of every slice, alone and with its neighbours."""
    problems = [problem_of(truth, protocol, seed) for seed, truth in enumerate(volume.truths)]
    outcomes = [told(problem, (), WITH_MAP) for problem in problems]
    images = [outcome.images["main"] for outcome in outcomes]
    rows: list[dict[str, Cell]] = []
    before: ComplexArray | None = None
    for n, problem in enumerate(problems):
        truth, kappa = volume.truths[n], float(outcomes[n].provenance["uncertainty_kappa"])
        row: dict[str, Cell] = {"volume": volume.name, "mm": volume.distance_mm, "R": protocol.acceleration}
        row |= {"sigma": f"{protocol.sigma:g}", "slice": n, "off": psnr(images[n], truth[None])}
        row |= {"covered": None, "covered off": covered(outcomes[n], truth, protocol, kappa)}
        beside = [(images[m], volume.distance_mm) for m in (n - 1, n + 1) if 0 <= m < len(images)]
        found: dict[str, ComplexArray | None] = {"both": None, "itself": None}
        if n % 2 and len(beside) == 2:
            both = told(problem, beside, WITH_MAP)
            row["covered"] = covered(both, truth, protocol, kappa)
            found = {
                "both": both.images["main"],
                "itself": told(problem, [(images[n], volume.distance_mm)] * 2).images["main"],
            }
        found["past"] = images[n] if before is None else told(problem, [(before, volume.distance_mm)]).images["main"]
        before = found["past"]
        row |= {mode: None if image is None else psnr(image, truth[None]) for mode, image in found.items()}
        rows.append(row)
    return rows


def summary(rows: Sequence[dict[str, Cell]]) -> list[dict[str, Cell]]:
    """Gains over the slice alone by protocol and distance, on average and at worst."""
    lines: list[dict[str, Cell]] = []
    for key in sorted({(str(row["R"]), str(row["sigma"]), float(row["mm"] or 0)) for row in rows}):
        group = [row for row in rows if (str(row["R"]), str(row["sigma"]), float(row["mm"] or 0)) == key]
        for mode in MODES:
            gains = [float(row[mode] or 0) - float(row["off"] or 0) for row in group if row[mode] is not None]
            if mode == "past":  # the first slice of a volume has no neighbour
                gains = [gain for gain, row in zip(gains, group, strict=True) if row["slice"]]
            if gains:
                mean, worst = float(np.mean(gains)), min(gains)
                line: dict[str, Cell] = {"R": key[0], "sigma": key[1], "distance / mm": key[2], "mode": mode}
                line |= {"slices": len(gains), "mean gain / dB": mean, "worst / dB": worst}
                lines.append(line | (coverage(group) if mode == "both" else {"covered / %": None, "alone / %": None}))
    return lines


def coverage(rows: Sequence[dict[str, Cell]]) -> dict[str, Cell]:
    """Pixels covered with both neighbours, and in the same slices alone."""
    known = [row for row in rows if row["covered"] is not None]
    return {name: 100 * float(np.mean([float(row[key] or 0) for row in known]))
            for name, key in (("covered / %", "covered"), ("alone / %", "covered off"))}  # fmt: skip


def lesion_test(volume: Volume, protocol: Protocol) -> tuple[dict[str, Cell], dict[str, Cell]]:
    """Lesions in the middle slice that the neighbours or it alone have.

    Returns
    -------
    contrast
        Share of it that is left.
    growth
        Of the mean error map by what neighbours show, in %: in the object, with neighbours as they are and these upside down;
        inside lesions of the neighbours and away from them; inside lesions of its own.
    """
    middle = len(volume.truths) // 2
    tissue = np.abs(volume.truths[middle])
    places = [p for p in np.argwhere(tissue > 0.35) if not any(p % 20)]
    profile = np.zeros(tissue.shape, np.float32)
    for y, x in places:
        profile += lesion(tissue.shape, (float(y), float(x)), 7.0, 0.5).numpy()
    truths = volume.truths
    marked = truths * (1 + 0.5 * profile)

    def slice_of(source: ComplexArray, n: int) -> Problem:
        return problem_of(source[n], protocol, n)

    pairs = {name: [(alone(slice_of(source, middle + d)), volume.distance_mm) for d in (-1, 1)]
             for name, source in (("clean", truths), ("marked", marked))}  # fmt: skip
    pairs["upside down"] = [(image[:, ::-1].copy(), distance) for image, distance in pairs["clean"]]
    pairs["nobody"] = []
    own, with_lesions = slice_of(truths, middle), slice_of(marked, middle)
    found = {name: told(own, pair, WITH_MAP).images for name, pair in pairs.items()}
    lesions = {name: told(with_lesions, pairs[name], WITH_MAP).images for name in ("clean", "nobody")}
    inside, visible = profile > 0.5, tissue > FOREGROUND

    def share(image: ComplexArray, reference: ComplexArray) -> float:
        change = np.abs(image[0])[inside] - np.abs(reference[0])[inside]
        return float(protocol.sigma * change.sum() / (0.5 * profile * tissue)[inside].sum())  # images are in SNR units

    def growth(maps: dict[str, Array], reference: dict[str, Array], where: npt.NDArray[np.bool_]) -> float:
        mean, alone = (float(one["uncertainty"][0][where].mean()) for one in (maps, reference))
        return 100 * (mean / alone - 1)

    name: dict[str, Cell] = {"volume": volume.name, "lesions": len(places)}
    return name | {
        "of the neighbours alone": share(found["marked"]["main"], found["clean"]["main"]),
        "own, off": share(lesions["nobody"]["main"], found["nobody"]["main"]),
        "own, both": share(lesions["clean"]["main"], found["clean"]["main"]),
    }, name | {
        "clean": growth(found["clean"], found["nobody"], visible),
        "of the neighbours alone": growth(found["marked"], found["clean"], inside),
        "away from them": growth(found["marked"], found["clean"], visible & (profile < 1e-6)),
        "own": growth(lesions["clean"], lesions["nobody"], inside),
        "upside down": growth(found["upside down"], found["nobody"], visible),
    }


def corruption_test(volume: Volume, protocol: Protocol) -> dict[str, Cell]:
    """Difference of slice 9 in dB when slice 5 is another anatomy or noise and all know the slice before (past)."""
    others = {"noise": np.random.default_rng(0).normal(size=volume.truths[5].shape).astype(np.complex64),
              "upside down": volume.truths[0][::-1].copy()}  # fmt: skip
    found: dict[str, float] = {}
    for name, other in {"": volume.truths[5], **others}.items():
        before: ComplexArray | None = None
        for n in range(3, 10):
            problem = problem_of(other if n == 5 else volume.truths[n], protocol, n)
            before = told(problem, () if before is None else [(before, volume.distance_mm)]).images["main"]
        found[name] = psnr(before, volume.truths[9][None])
    return {"volume": volume.name, **{name: found[name] - found[""] for name in others}}


def cost(volume: Volume, protocol: Protocol) -> dict[str, Cell]:
    """Processor time of a slice with neighbours by that of the same slice alone, best of 8.

    Of the slice as a stream makes it, with its coil maps and conventional image, and of the sampler and its heads alone.
    """
    scan = scan_of(volume.truths[1], protocol, 0)
    beside = [(volume.truths[n][None], volume.distance_mm) for n in (0, 2)]
    seconds: dict[tuple[str, int], list[float]] = defaultdict(list)
    for _ in range(8):
        for neighbours in ([], beside):
            began = time.process_time()
            problem = problem_from(scan, protocol, 0)
            ready = time.process_time()
            told(problem, neighbours)
            ended = time.process_time()
            seconds["slice", len(neighbours)].append(ended - began)
            seconds["sampler and heads", len(neighbours)].append(ended - ready)
    return {
        f"{what}, {name}": figure
        for what in ("slice", "sampler and heads")
        for alone, beside_s in [(min(seconds[what, 0]), min(seconds[what, 2]))]
        for name, figure in (("alone / ms", 1e3 * alone), ("ratio", beside_s / alone))
    }


def main() -> int:
    """Print tables; 2 when the data are missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--volumes", choices=tuple(SPACING_MM), default="open_ms")
    parser.add_argument("--slices", type=int, default=12, help="of each volume, around its middle")
    parser.add_argument("--step", type=int, default=1, help="every so manieth slice")
    parser.add_argument("--matrix", type=int, default=144)
    parser.add_argument("--acceleration", type=int, nargs="+", default=[6, 4])
    parser.add_argument("--sigma", type=float, nargs="+", default=[0.05, 0.02], help="one for each acceleration")
    parser.add_argument("--weights", type=find_weights, default="default", help="whose head lies beside them")
    parser.add_argument("--tests", action="store_true", help="lesions, a corrupted slice, and cost, not the volumes")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    if not (options.data / "magnitude").is_dir():
        print(f"needs magnitude and kspace in {options.data}", file=sys.stderr)
        return 2
    made = volumes(options.data, options.volumes, options.slices, options.step, options.matrix)
    pairs = zip(options.acceleration, options.sigma, strict=True)
    protocols = [Protocol(options.data, acceleration, sigma, options.weights) for acceleration, sigma in pairs]
    if options.tests:
        contrasts, growths = zip(*(lesion_test(volume, protocols[0]) for volume in made), strict=True)
        print(f"{markdown(contrasts)}\n\nGrowth of the error map in %\n{markdown(growths)}\n")
        print(f"{markdown([corruption_test(volume, protocols[0]) for volume in made[:1]])}\n")
        print(f"Time with neighbours by that alone\n{markdown([cost(made[0], protocols[0])])}")
        return 0
    rows: list[dict[str, Cell]] = []
    for protocol in protocols:
        for volume in made:
            rows += of_volume(volume, protocol)
            print(f"{volume.name} R={protocol.acceleration}\n{markdown(summary(rows))}\n", flush=True)
    print(f"{markdown(rows)}\n\n{markdown(summary(rows))}")
    if options.json:
        write_json(options.json, {"slices": rows, "summary": summary(rows)})
    return 0


if __name__ == "__main__":
    sys.exit(main())
