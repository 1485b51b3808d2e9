"""Coil maps where calibration is thin, absent or moved, and where the field of view wraps, against BART's nlinv and ecalib.

usage: python benchmarks/coil_maps.py --data DIR [--tables wrapped few none series moved phase time] [--noise 0 2 4]
                                     [--json FILE]

DIR holds brain_t1_8ch_espirit_full.h5. PSNR as in against_bart.py; the reference is the full scan, combined with the maps of
its 24 central lines, or, where it wraps, the root of the sum of squares of its coil images. BART is that of the package
bartorch; its lambda and its number of Newton steps are chosen with the reference in hand.

wrapped   the field of view of the scan is cut so that the head wraps: a share of it along y and x; 24 calibration lines
few       4 or 8 central lines: the maps as before (ESPIRiT of 8 lines, Walsh below), joint estimation, the same refined by the
          image, nlinv's image, and what 24 lines or the maps of the full scan would give
none      no line beyond those of the pattern
series    frames with every R-th line, each with other ones, and no more: the first with maps of the lines of all frames, with
          those of a separate calibration in place, and with 24 central lines of its own
moved     a separate calibration whose field of view moved by 2 or 0.4 pixels along y and x, or whose object turned, and images
          without lines of their own
phase     by how much the phase of the maps differs from that of ecalib's between neighbouring pixels, and vortices
time      processor seconds of ESPIRiT, of joint estimation with 8 and 4 lines and with random lines alone (R = 2), and of
          images without and with refined maps
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage

from bart_maps import nlinv, two_sets
from nilatron.core.backend import ComplexArray
from nilatron.core.baselines.cg_sense import cg_sense
from nilatron.core.baselines.l1_wavelet import l1_wavelet
from nilatron.core.coils.espirit import EspiritSettings, espirit_maps
from nilatron.core.coils.joint.calibration import joint_calibration
from nilatron.core.coils.moved import moved
from nilatron.core.coils.phase import n_vortices
from nilatron.core.fft import fft, ifft
from nilatron.core.kspace import calibration_block
from nilatron.core.metrics import foreground, psnr, ssim
from nilatron.core.oversampling import resize_centre
from nilatron.core.prior.weights import find_weights
from nilatron.core.recon import displayed, estimate_coil_maps, has_thin_maps, measurement_of, warm_started
from nilatron.gadgets.calibration import FramePool
from nilatron.gadgets.nila.method import run_nila
from nilatron.gadgets.nila.settings import NilaNodeSettings
from nilatron.gadgets.problem import Problem
from ours import nila
from report import Cell, markdown, write_json
from scans import BRAIN, Scan, calibration_lines, combined, full_scan_maps, load_brain, undersample, with_noise

Row = dict[str, Cell]
SHARES = ((0.8, 0.8), (0.75, 1.0))  # of the field of view along y and x
FEW = ((2, 4), (3, 4), (4, 4), (3, 8), (4, 8))  # acceleration and central lines
REPEATS = 5
MOVED, MOVED_LITTLE = 2, 0.4  # pixels
TURNED = 2.0  # degrees
BOTH_SEE = 0.9  # |<S, S'>| of pixels whose maps agree but for their phase


def wrapped(full: ComplexArray, shares: tuple[float, float]) -> ComplexArray:
    """K-space of a smaller field of view: what lies outside it is folded in, as if it had been encoded so."""
    images = ifft(full)
    for axis, share in zip((2, 3), shares, strict=True):
        n = images.shape[axis]
        kept = 2 * round(n * share / 2)
        folded = np.zeros((*images.shape[:axis], kept, *images.shape[axis + 1 :]), images.dtype)
        places = (np.arange(n) - n // 2 + kept // 2) % kept
        np.add.at(np.moveaxis(folded, axis, 0), places, np.moveaxis(images, axis, 0))
        images = folded
    kspace: ComplexArray = fft(images).astype(np.complex64)
    return kspace


def uncalibrated(full: ComplexArray, acceleration: int, pattern: str, seed: int, first: int = 0) -> Scan:
    """Equispaced or random lines (the central one among them, unless it is another frame that comes first), and no others."""
    n_y = full.shape[2]
    counts = np.zeros(full.shape[1:], np.float32)
    if pattern == "random":
        counts[:, np.random.default_rng(seed).choice(n_y, n_y // acceleration, replace=False)] = 1
        counts[:, n_y // 2] = 1
    else:
        counts[:, (n_y // 2 + first) % acceleration :: acceleration] = 1
    return Scan(full * counts, counts, full[:, :, :0])


def turned(full: ComplexArray, degrees: float) -> ComplexArray:
    """K-space of an object and coils that are turned in the plane."""
    images = ifft(full)
    real, imaginary = (
        ndimage.rotate(part, degrees, axes=(3, 2), reshape=False, order=3) for part in (images.real, images.imag)
    )
    kspace: ComplexArray = fft(real + 1j * imaginary).astype(np.complex64)
    return kspace


class Coils:
    """One run: Nila's weights, and the seed of noise and lines."""

    def __init__(self, weights: Path, seed: int) -> None:
        self.weights, self.seed = weights, seed

    def nila(self, scan: Scan, maps: ComplexArray, refine_maps: str = "off") -> ComplexArray:
        """Image for display."""
        operator = measurement_of(maps, scan.counts)
        settings = NilaNodeSettings(refine_maps=refine_maps)
        image: ComplexArray = displayed(operator, nila(operator, operator.data(scan.kspace), self.weights, settings))
        return image

    def refined(self, scan: Scan, maps: ComplexArray, reference: ComplexArray) -> Row:
        """PSNR with maps that the image refines, and what it says of them."""
        operator = measurement_of(maps, scan.counts)
        problem = Problem.of(
            warm_started(operator, operator.data(scan.kspace)), np.random.default_rng(0), weights=self.weights
        )
        outcome = run_nila(problem, NilaNodeSettings(refine_maps="on"))
        said = outcome.provenance["maps_refined"].replace("residual of the low frequencies ", "")
        said = said.replace("logarithm of the evidence ", "")
        return {"refined": psnr(displayed(operator, outcome.images["main"]), reference), "residual, evidence": said}


def wrapped_rows(run: Coils, full: ComplexArray, noises: list[int]) -> list[Row]:
    """One set and two, by method."""
    rows: list[Row] = []
    for shares in SHARES:
        kspace = wrapped(full, shares)
        reference = np.sqrt(np.sum(np.abs(ifft(kspace)) ** 2, axis=0)).astype(np.complex64)
        similarity = partial(ssim, reference=reference, mask=foreground(reference))
        for acceleration, noise in ((r, n) for r in (2, 4) for n in noises):
            scan = undersample(with_noise(kspace, noise, run.seed), acceleration)
            one = estimate_coil_maps(scan.kspace, scan.counts, scan.calibration)[0]
            two = estimate_coil_maps(scan.kspace, scan.counts, scan.calibration, n_sets=None)[0]
            operator = measurement_of(two, scan.counts)
            data = operator.data(scan.kspace)
            image = run.nila(scan, two)
            quality, alike = two_sets(scan, reference)
            row: Row = {"field of view": f"{shares[0]:g} x {shares[1]:g}", "R": acceleration, "noise": f"{noise}x"}
            row |= {"Nila, 1 set": psnr(run.nila(scan, one), reference), "sets": two.shape[0] if two.ndim > 4 else 1}
            row |= {"CG-SENSE": psnr(displayed(operator, cg_sense(operator, data)), reference)}
            row |= {"l1-wavelet": psnr(displayed(operator, l1_wavelet(operator, data)), reference)}
            row |= {"Nila": psnr(image, reference), "BART -m2": quality}
            row |= {"SSIM Nila": f"{similarity(image):.3f}", "SSIM BART": f"{alike:.3f}"}
            rows.append(row)
            print(row, file=sys.stderr, flush=True)
    return rows


def few_rows(run: Coils, full: ComplexArray, noises: list[int]) -> list[Row]:
    """Few calibration lines."""
    rows: list[Row] = []
    true = full_scan_maps(full)
    reference = combined(full, true)
    for (acceleration, n_lines), noise in ((case, n) for case in FEW for n in noises):
        noisy = with_noise(full, noise, run.seed)
        scan, usual = undersample(noisy, acceleration, n_lines), undersample(noisy, acceleration)
        block = calibration_block(scan.kspace, scan.counts)
        joint = estimate_coil_maps(scan.kspace, scan.counts, block)[0]
        images = {
            "before": run.nila(scan, estimate_coil_maps(scan.kspace, scan.counts, block, way="espirit")[0]),
            "joint": run.nila(scan, joint),
            "maps of the full scan": run.nila(scan, true),
            "24 lines": run.nila(usual, estimate_coil_maps(usual.kspace, usual.counts, usual.calibration)[0]),
        }
        row: Row = {"R": acceleration, "lines": n_lines, "noise": f"{noise}x"}
        row |= {name: psnr(image, reference) for name, image in images.items()}
        row |= run.refined(scan, joint, reference)
        row["nlinv"] = nlinv(scan, reference)
        rows.append(row)
        print(row, file=sys.stderr, flush=True)
    return rows


def none_rows(run: Coils, full: ComplexArray, noises: list[int]) -> list[Row]:
    """No calibration."""
    rows: list[Row] = []
    true = full_scan_maps(full)
    reference = combined(full, true)
    cases = [(p, r, n) for p in ("equispaced", "random") for r in (2, 3) for n in noises]
    for pattern, acceleration, noise in cases:
        scan = uncalibrated(with_noise(full, noise, run.seed), acceleration, pattern, run.seed)
        row: Row = {"lines": pattern, "R": acceleration, "noise": f"{noise}x"}
        walsh, joint = (estimate_coil_maps(scan.kspace, scan.counts, None, way=way)[0] for way in ("walsh", "auto"))
        row |= {"before": psnr(run.nila(scan, walsh), reference), "joint": psnr(run.nila(scan, joint), reference)}
        row |= run.refined(scan, joint, reference)
        row["maps of the full scan"] = psnr(run.nila(scan, true), reference)
        row["nlinv"] = nlinv(scan, reference)
        rows.append(row)
        print(row, file=sys.stderr, flush=True)
    return rows


def series_rows(run: Coils, full: ComplexArray, noises: list[int]) -> list[Row]:
    """Interleaved frames, each with noise of its own where some is added."""
    rows: list[Row] = []
    reference = combined(full, full_scan_maps(full))
    for acceleration, noise in ((r, n) for r in (2, 3, 4) for n in noises):
        noisy = [with_noise(full, noise, run.seed + frame) for frame in range(acceleration)]
        pool = FramePool()
        for number, frame in enumerate(noisy):
            one = uncalibrated(frame, acceleration, "equispaced", run.seed, number)
            pool.add(one.kspace, one.counts)
        scan, usual = uncalibrated(noisy[0], acceleration, "equispaced", run.seed), undersample(noisy[0], acceleration)
        separate = calibration_lines(with_noise(full, noise, run.seed + acceleration))
        row: Row = {"R = frames": acceleration, "noise": f"{noise}x"}
        for name, block in (("lines of all frames", pool.block()), ("separate calibration", separate)):
            maps = estimate_coil_maps(scan.kspace, scan.counts, block)[0]
            row[name] = psnr(run.nila(scan, maps), reference)
        maps = estimate_coil_maps(usual.kspace, usual.counts, usual.calibration)[0]
        row["24 lines"] = psnr(run.nila(usual, maps), reference)
        rows.append(row)
        print(row, file=sys.stderr, flush=True)
    return rows


def moved_rows(run: Coils, full: ComplexArray, noises: list[int]) -> list[Row]:
    """A separate calibration, with noise of its own, in place and moved."""
    rows: list[Row] = []
    reference = combined(full, full_scan_maps(full))
    n_y, n_x = full.shape[2:]
    for acceleration, noise in ((r, n) for r in (2, 3, 4) for n in noises):
        scan = uncalibrated(with_noise(full, noise, run.seed), acceleration, "equispaced", run.seed)
        separate = with_noise(full, noise, run.seed + 1)
        blocks = {
            "in place": separate,
            f"moved by {MOVED}": moved(separate, (0.0, MOVED / n_y, MOVED / n_x)),
            f"moved by {MOVED_LITTLE:g}": moved(separate, (0.0, MOVED_LITTLE / n_y, MOVED_LITTLE / n_x)),
            f"turned by {TURNED:g} deg": turned(separate, TURNED),
        }
        for name, kspace in blocks.items():
            block = calibration_lines(kspace)
            plain = espirit_maps(block, scan.shape, EspiritSettings(noise_variance=1.0))
            maps, source = estimate_coil_maps(scan.kspace, scan.counts, block)
            row: Row = {"R": acceleration, "noise": f"{noise}x", "calibration": name}
            row |= {"its maps": psnr(run.nila(scan, plain), reference)}
            row |= {"maps moved back": psnr(run.nila(scan, maps), reference)}
            row |= run.refined(scan, maps, reference)
            row |= {"maps from": source, "thin": has_thin_maps(source, scan.kspace, scan.counts, block)}
            rows.append(row)
            print(row, file=sys.stderr, flush=True)
    return rows


def phase_rows(full: ComplexArray) -> list[Row]:
    """Maps of 24 lines, ours and ecalib's with the same crop."""
    from bartorch import tools  # type: ignore[import-not-found,import-untyped,unused-ignore]

    rows: list[Row] = []
    for acceleration in (2, 4):
        scan = undersample(full, acceleration)
        ours = full_scan_maps(full)
        other = tools.ecalib(torch.from_numpy(scan.kspace), maps=1, r=24).numpy().reshape(ours.shape)
        inner = np.sum(np.conj(ours) * other, axis=0)[0]
        seen = np.abs(inner) > BOTH_SEE
        steps = [
            np.abs(np.angle(np.conj(inner) * np.roll(inner, -1, axis)))[seen & np.roll(seen, -1, axis)]
            for axis in (0, 1)
        ]
        row: Row = {"R": acceleration, "median step": f"{np.degrees(np.median(np.concatenate(steps))):.2f} deg"}
        row |= {"largest step": f"{np.degrees(max(step.max() for step in steps)):.0f} deg"}
        row |= {"vortices": n_vortices(ours), "of ecalib": n_vortices(other)}
        rows.append(row)
    return rows


def time_rows(run: Coils, full: ComplexArray) -> list[Row]:
    """Processor seconds, the least of several runs, of 8 coils and 256 x 256 pixels."""
    for axis in (2, 3):
        full = fft(resize_centre(ifft(full), 256, axis))
    usual = undersample(full, 2)
    shape = usual.shape
    calls: dict[str, Callable[[], object]] = {
        "ESPIRiT": lambda: espirit_maps(usual.calibration, shape),
        "with the choice of sets": lambda: estimate_coil_maps(
            usual.kspace, usual.counts, usual.calibration, n_sets=None
        ),
    }
    scans = {f"{n} lines": undersample(full, 2, n) for n in (8, 4)}
    scans["random lines alone"] = uncalibrated(full, 2, "random", 0)
    for name, scan in scans.items():
        block = calibration_block(scan.kspace, scan.counts)
        calls[f"joint estimation, {name}"] = partial(joint_calibration, scan.kspace, scan.counts)
        calls[f"joint estimation and ESPIRiT, {name}"] = partial(estimate_coil_maps, scan.kspace, scan.counts, block)
        maps = estimate_coil_maps(scan.kspace, scan.counts, block)[0]
        calls[f"image, {name}"] = partial(run.nila, scan, maps)
        calls[f"image with refined maps, {name}"] = partial(run.nila, scan, maps, "on")
    rows: list[Row] = []
    made: dict[str, float] = {}
    for name, call in calls.items():
        seconds = []
        for _ in range(REPEATS):
            start = time.process_time()
            call()
            seconds.append(time.process_time() - start)
        made[name] = min(seconds)
        rows.append(
            {"maps": name, "processor seconds": f"{made[name]:.3f}", "times": f"{made[name] / made['ESPIRiT']:.2f}"}
        )
    return rows


def main() -> int:
    """Print the tables; 2 when BART or the data are missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ("wrapped", "few", "none", "series", "moved", "phase", "time")
    parser.add_argument("--data", type=Path, required=True, help=f"folder of {BRAIN}")
    parser.add_argument("--tables", nargs="+", choices=names, default=names)
    parser.add_argument("--noise", type=int, nargs="+", default=[0, 2, 4], help="added, in that of the scan")
    parser.add_argument("--weights", type=find_weights, default="default", help="default, tiny or a file")
    parser.add_argument("--seed", type=int, default=0, help="of the added noise and of the random lines")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the tables here too")
    options = parser.parse_args()
    if importlib.util.find_spec("bartorch") is None or not (options.data / BRAIN).is_file():
        print(f"cannot compare: the package bartorch or {options.data / BRAIN} is not there", file=sys.stderr)
        return 2
    full = load_brain(options.data)
    run = Coils(options.weights, options.seed)
    tables: dict[str, Callable[[], list[Row]]] = {
        "wrapped": lambda: wrapped_rows(run, full, options.noise),
        "few": lambda: few_rows(run, full, options.noise),
        "none": lambda: none_rows(run, full, options.noise),
        "series": lambda: series_rows(run, full, options.noise),
        "moved": lambda: moved_rows(run, full, options.noise),
        "phase": lambda: phase_rows(full),
        "time": lambda: time_rows(run, full),
    }
    made = {name: tables[name]() for name in options.tables}
    for name, rows in made.items():
        print(f"\n{name}\n\n{markdown(rows)}")
    if options.json:
        write_json(options.json, made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
