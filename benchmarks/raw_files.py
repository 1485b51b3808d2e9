"""PSNR of every chain on raw files of one brain, with and without their noise lines.

usage: python benchmarks/raw_files.py --data DIR

DIR holds brain_8ch_full.h5, brain_8ch_R4.h5 and brain_8ch_R4_noisy.h5. Reference: the coil-combined image of the full scan.
PSNR is that of magnitudes in the foreground (|x| > 8 % of the 99.5th percentile of the reference) after a least-squares scale.
The reference holds the scan's own noise, so that no method can come arbitrarily near to it. Without noise lines the noise
covariance comes from the data; it also sets the shading of a coil combination, sqrt(rho^H Psi^-1 rho). So these rows come
twice: against the full scan combined under the same covariance ("own": what the reconstruction loses), and against the
image of the noise scan ("scan": difference in shading included).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from nilatron.core.backend import ComplexArray
from nilatron.core.coils.espirit import espirit_maps
from nilatron.core.fft import ifft
from nilatron.core.kspace import calibration_block
from nilatron.core.metrics import psnr
from nilatron.core.noise import whiten
from nilatron.gadgets.methods import METHODS
from nilatron.gadgets.reconstruct import Reconstructor
from nilatron.gadgets.sensitivities import with_maps
from slices import first_slice

FILES = ("brain_8ch_full.h5", "brain_8ch_R4.h5", "brain_8ch_R4_noisy.h5")
TARGETS = ("zero_filled", "cg_sense", "l1_wavelet", "nila")


def combined(full: ComplexArray) -> ComplexArray:
    """Coil-combined image of fully sampled, whitened k-space (coil, z, y, x)."""
    block = calibration_block(full, np.ones(full.shape[1:], np.float32), max_lines=24)
    maps = espirit_maps(block, full.shape[1:])
    image: ComplexArray = np.sum(np.conj(maps) * ifft(full), axis=0)
    return image


def whitening_of(path: Path, white: ComplexArray) -> ComplexArray:
    """The matrix that made `white` of the first slice of a file."""
    acquired = first_slice(path, whitened=False)[0].kspace.reshape(len(white), -1)
    matrix: ComplexArray = np.linalg.lstsq(acquired.T, white.reshape(len(white), -1).T)[0].T
    return matrix


def row(path: Path, full: ComplexArray, reference: ComplexArray | None, *, with_noise_scan: bool) -> str:
    """PSNR of every target against `reference`, or against the full scan combined under the slice's own whitening."""
    item, context = first_slice(path, with_noise_scan=with_noise_scan)
    if item.noise is None:
        raise RuntimeError("the slice came without a noise report")
    compared = "scan" if reference is not None else "own"
    reference = combined(whiten(whitening_of(path, item.kspace), full)) if reference is None else reference
    item = with_maps(item, context)
    cells = []
    for target in TARGETS:
        images = Reconstructor(target, METHODS[target].settings_class()).reconstruct(item, context)
        (image,) = [made.image for made in images if made.role == "main"]
        cells.append(f"{psnr(image, reference):>13.2f}")
    return f"{path.name:<24}{item.noise.source:<12}{compared:<11}{item.noise.sigma_measured:>7.3f}" + "".join(cells)


def main() -> int:
    """Print a row for each file, noise source and reference; 2 when a file is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    folder = parser.parse_args().data
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        print(f"{folder} lacks {', '.join(missing)}", file=sys.stderr)
        return 2
    full = first_slice(folder / FILES[0], whitened=False)[0].kspace
    reference = combined(first_slice(folder / FILES[0])[0].kspace)
    print(f"{'file':<24}{'noise from':<12}{'reference':<11}{'sigma':>7}" + "".join(f"{t:>13}" for t in TARGETS))
    for name in FILES:
        print(row(folder / name, full, reference, with_noise_scan=True), flush=True)
        for compared in (None, reference):
            print(row(folder / name, full, compared, with_noise_scan=False), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
