"""What Nila does with wrong scales, wrong noise levels, no signal and a huge bright spot; figures and a sheet of pictures.

usage: python benchmarks/robustness.py --data DIR --output SHEET.png [--weights NAME|FILE] [--json FILE]

DIR holds kspace/brain_t1_8ch_espirit_full.h5, kspace/coil_maps_dev.h5 and magnitude/val. Objects: the brain scan at R = 4, and
one simulated slice of a source that no training sees, sigma_y 0.03, R = 4. Columns:

- chi2: residual per sample in units of the true noise; 1 is right
- PSNR, of CG-SENSE and Nila, where there is a truth (of the brain: the full scan); for bright spots outside their surroundings
- rms and peak of the Nila image in SNR units: the full scan's noise would give rms 1
- structure: largest magnitude after a Gaussian low-pass of 3 pixels, in units of the standard deviation that the full scan's
  white noise has after it. White noise alone reaches about 3; an image of nothing must stay there

Sheet, a row for each case: CG-SENSE; Nila in the same window; Nila in a window of its own.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from scipy import ndimage

from nilatron.core.backend import ComplexArray, complex_normal
from nilatron.core.coils.espirit import espirit_maps
from nilatron.core.fft import fft
from nilatron.core.measurement import chi_squared, mask_outside_coils
from nilatron.core.metrics import foreground, psnr
from nilatron.core.prior.weights import find_weights
from nilatron.core.recon import warm_started
from nilatron.core.sampling.image import ImageSettings, sample_images
from nilatron.core.sense import SenseOperator
from nilatron.gadgets.nila.prior import prior_for
from nilatron.pipelines.files.atomic import atomic_path
from report import Cell, markdown, write_json
from scans import BRAIN, combined, full_scan_maps, load_brain, undersample
from simulated import coil_maps, full_kspace, magnitude_slices

LOW_PASS = 3.0  # pixels, standard deviation
SPOT = 100.0  # of the object's peak
SURROUNDINGS = 12  # pixels around a bright spot that are not judged
PANEL = 200  # pixels
LABEL = 16


@dataclass(frozen=True)
class Case:
    """A problem, how it is mistreated, and what is known of the answer."""

    name: str
    operator: SenseOperator
    data: ComplexArray
    truth: ComplexArray | None = None
    judged: npt.NDArray[np.bool_] | None = None
    scale_factor: float = 1.0
    sigma_factor: float = 1.0


def case_of(name: str, full: ComplexArray, truth: ComplexArray | None, maps: ComplexArray | None = None) -> Case:
    """Undersample full k-space by 4; maps from its own calibration lines unless given."""
    scan = undersample(full, 4)
    operator = SenseOperator(espirit_maps(scan.calibration, scan.shape) if maps is None else maps, scan.counts)
    return Case(name, operator, operator.data(scan.kspace), truth)


def mistreated(case: Case) -> Iterator[Case]:
    """The case, and with wrong scale and noise level."""
    yield case
    for factor in (0.5, 2.0):
        yield replace(case, name=f"{case.name}, scale x{factor:g}", scale_factor=factor)
    for factor in (0.5, 2.0):
        yield replace(case, name=f"{case.name}, sigma x{factor:g}", sigma_factor=factor)


def nothing(full: ComplexArray, maps: ComplexArray) -> Iterator[Case]:
    """No signal: noise or zeros, with the maps of an object and with those of nothing."""
    noise = complex_normal(np.random.default_rng(5), full.shape, full)
    yield case_of("noise only, maps of the object", noise, None, maps)
    yield case_of("noise only, its own maps", noise, None)
    yield case_of("zeros, maps of the object", np.zeros_like(full), None, maps)
    yield case_of("zeros, their own maps", np.zeros_like(full), None)


def bright_spots(full: ComplexArray, maps: ComplexArray, reference: ComplexArray) -> Iterator[Case]:
    """A pixel and a blob of 100 times the peak, in the object, with maps of the disturbed and of the undisturbed scan."""
    n_y, n_x = reference.shape[1:]
    centre = (0, int(n_y * 0.4), int(n_x * 0.4))
    pixel = np.zeros(reference.shape, np.float64)
    pixel[centre] = 1
    blob = ndimage.gaussian_filter(pixel, (0, 3, 3))
    far = ndimage.distance_transform_edt(pixel[0] == 0)[None] > SURROUNDINGS
    for name, shape in (("pixel", pixel), ("blob", blob / blob.max())):
        spot = np.asarray(SPOT * np.abs(reference).max() * shape, np.complex64)
        disturbed, truth = full + fft(maps * spot), reference + spot
        for whose, known in (("its own maps", None), ("undisturbed maps", maps)):
            case = case_of(f"bright {name}, {whose}", disturbed, truth, known)
            yield replace(case, judged=foreground(reference) & far)


def reconstruct(case: Case, weights: Path) -> tuple[ComplexArray, ComplexArray]:
    """CG-SENSE and Nila image, as the method `nila` makes them but for the factors."""
    problem = warm_started(case.operator, case.data)
    noise = problem.noise_level * case.sigma_factor / (problem.scale * case.scale_factor)
    settings = ImageSettings().for_data(noise, problem.acquired_share)
    result = sample_images(
        prior_for(weights, "cpu").prior.estimate,
        case.operator,
        case.data,
        settings.levels(),
        settings,
        start=problem.conventional[None],
        sigma=problem.noise_level * case.sigma_factor,
        scale=problem.scale * case.scale_factor,
        generator=np.random.default_rng(0),
    )
    return problem.conventional, mask_outside_coils(case.operator, result.image[0])


def structure(image: ComplexArray) -> float:
    """Largest low-passed magnitude over the standard deviation of low-passed white noise of variance 1."""
    real, imaginary = (ndimage.gaussian_filter(part, (0, LOW_PASS, LOW_PASS)) for part in (image.real, image.imag))
    return float(np.max(np.hypot(real, imaginary)) * 2 * np.sqrt(np.pi) * LOW_PASS)


def row(case: Case, conventional: ComplexArray, image: ComplexArray) -> dict[str, Cell]:
    """Figures of one case."""
    if not np.all(np.isfinite(image)):
        return {**dict.fromkeys(COLUMNS), "case": case.name, "finite": "NO"}
    truth = case.truth
    seen = np.any(case.operator.coil_maps != 0, axis=0)
    return {
        "case": case.name,
        "finite": "yes",
        "chi2": chi_squared(case.operator, case.data, image),
        "PSNR CG-SENSE": None if truth is None else psnr(conventional, truth, case.judged),
        "PSNR Nila": None if truth is None else psnr(image, truth, case.judged),
        "rms CG-SENSE": float(np.sqrt(np.mean(np.abs(conventional[seen]) ** 2))) if seen.any() else 0.0,
        "rms Nila": float(np.sqrt(np.mean(np.abs(image[seen]) ** 2))) if seen.any() else 0.0,
        "peak Nila": float(np.max(np.abs(image))),
        "structure CG-SENSE": structure(conventional),
        "structure Nila": structure(image),
    }


COLUMNS = (
    *("case", "finite", "chi2", "PSNR CG-SENSE", "PSNR Nila", "rms CG-SENSE", "rms Nila", "peak Nila"),
    *("structure CG-SENSE", "structure Nila"),
)


def panels(case: Case, conventional: ComplexArray, image: ComplexArray) -> Image.Image:
    """One row of the sheet."""
    strip = Image.new("L", (3 * PANEL, PANEL + LABEL))
    ImageDraw.Draw(strip).text((2, 2), case.name, fill=255)
    window = float(np.percentile(np.abs(conventional), 99.5)) or 1.0
    for i, (shown, top) in enumerate(
        ((conventional, window), (image, window), (image, float(np.percentile(np.abs(image), 99.5)) or 1.0))
    ):
        grey = np.nan_to_num(np.clip(np.abs(shown[0]) / top, 0, 1) * 255).astype(np.uint8)
        strip.paste(Image.fromarray(grey).resize((PANEL, PANEL)), (i * PANEL, LABEL))
    return strip


def sheet(strips: list[Image.Image], n_columns: int = 3) -> Image.Image:
    """All rows, in columns."""
    n_rows = -(-len(strips) // n_columns)
    width, height = strips[0].size
    whole = Image.new("L", (n_columns * (width + 8), n_rows * height))
    for i, strip in enumerate(strips):
        whole.paste(strip, (i // n_rows * (width + 8), i % n_rows * height))
    return whole


def cases(data: Path) -> Iterator[Case]:
    """All of them."""
    full = load_brain(data / "kspace")
    maps = full_scan_maps(full)
    reference = combined(full, maps)
    yield from mistreated(case_of("brain", full, reference))
    item = magnitude_slices(data, "lgg_tcga", 1, np.random.default_rng(0))[0]
    simulated = full_kspace(item.truth, coil_maps(data, "phantom_8ch", item.truth.shape), 0.03, 0)
    yield from mistreated(case_of("simulated", simulated, item.truth))
    yield from nothing(full, maps)
    yield from bright_spots(full, maps, reference)


def main() -> int:
    """Print the table and write the sheet; 1 when an image is not finite, 2 when the data are missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True, metavar="SHEET.png")
    parser.add_argument("--weights", type=find_weights, default="default", help="default, tiny or a file")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table here too")
    options = parser.parse_args()
    if not (options.data / "kspace" / BRAIN).is_file() or not (options.data / "magnitude").is_dir():
        print(f"needs kspace/{BRAIN} and magnitude in {options.data}", file=sys.stderr)
        return 2
    rows, strips = [], []
    for case in cases(options.data):
        conventional, image = reconstruct(case, options.weights)
        rows.append(row(case, conventional, image))
        strips.append(panels(case, conventional, image))
    print(markdown(rows))
    with atomic_path(options.output) as temporary:
        sheet(strips).save(temporary, format="PNG")
    if options.json:
        write_json(options.json, rows)
    return 0 if all(made["finite"] == "yes" for made in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
