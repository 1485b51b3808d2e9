"""Multi-coil slices simulated from images and measured coil maps, for the benchmarks.

Truth: a complex image of image scale 1 (99.5th percentile of the magnitude). Complex images keep their phase, magnitude images
get a smooth synthetic one. Maps: smooth functions fitted to measured ones, so that they continue beyond the measured object,
stretched to the image's matrix and normalised to sum |S|^2 = 1 everywhere. K-space comes in SNR units: F S x / sigma_y + n,
noise variance 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from scipy import ndimage

from nilatron.core.backend import ComplexArray, complex_normal
from nilatron.core.fft import fft
from nilatron.core.prior.augment import AugmentSettings, synthetic_phase

COMPLEX_SOURCE = "complex_t2"
COMPLEX_SLICES = range(14, 28)  # of complex_t2_28.h5; the others may be trained on
MAGNITUDE_SOURCES = ("lgg_tcga", "open_ms")
MAP_SETS = ("brain_t1_8ch_espirit_full", "phantom_8ch")
HIGHEST_ORDER = 5  # periods a field of view
BORDER = 16  # pixels
SMOOTHNESS = 1e-4  # weight of the fourth power of the order


@dataclass(frozen=True)
class Slice:
    """A truth (z, y, x) of image scale 1."""

    source: str
    name: str
    truth: ComplexArray


def complex_slices(data: Path) -> list[Slice]:
    """The T2-weighted complex slices that are for evaluation."""
    with h5py.File(data / "kspace" / "complex_t2_28.h5") as file:
        images = file["image"][COMPLEX_SLICES.start : COMPLEX_SLICES.stop]
    return [Slice(COMPLEX_SOURCE, f"{i}", _scaled(image)) for i, image in zip(COMPLEX_SLICES, images, strict=True)]


def magnitude_slices(data: Path, source: str, n: int, generator: np.random.Generator) -> list[Slice]:
    """`n` different images of a validation source, drawn at random, with synthetic smooth phase."""
    paths = sorted((data / "magnitude" / "val" / source).glob("*.png"))
    chosen = generator.choice(len(paths), size=n, replace=False)
    phases = torch.Generator().manual_seed(int(generator.integers(2**31)))
    settings = AugmentSettings(phase_probability=1.0)
    slices = []
    for path in (paths[i] for i in sorted(chosen)):
        with Image.open(path) as picture:
            magnitude = np.asarray(picture.convert("L"), np.float32)
        phase = synthetic_phase((magnitude.shape[0], magnitude.shape[1]), settings, phases).numpy()
        slices.append(Slice(source, path.stem, _scaled(magnitude * np.exp(1j * phase))))
    return slices


def coil_maps(data: Path, name: str, shape: tuple[int, ...]) -> ComplexArray:
    """One of `MAP_SETS` (coil, z, y, x), for an image of `shape` (z, y, x)."""
    with h5py.File(data / "kspace" / "coil_maps_dev.h5") as file:
        maps = _continued(_smooth_phase(file[name][:]))
    factors = [wanted / have for wanted, have in zip(shape[1:], maps.shape[1:], strict=True)]
    stretched = np.stack([_zoomed(coil, factors) for coil in maps])[:, None]
    norm = np.sqrt(np.sum(np.abs(stretched) ** 2, axis=0))
    return np.asarray(stretched / norm, np.complex64)


def full_kspace(truth: ComplexArray, maps: ComplexArray, sigma_y: float, seed: int) -> ComplexArray:
    """F S x / sigma_y + n for all lines (coil, z, y, x)."""
    clean = fft(maps * (truth / np.float32(sigma_y)))
    noisy: ComplexArray = clean + complex_normal(np.random.default_rng(seed), clean.shape, clean)
    return noisy


def _scaled(image: npt.NDArray[np.generic]) -> ComplexArray:
    return np.asarray(image / np.percentile(np.abs(image), 99.5), np.complex64)[None]


def _smooth_phase(maps: ComplexArray) -> ComplexArray:
    """Refer the phase to the strongest virtual coil, which vanishes nowhere in the object."""
    flat = maps.reshape(len(maps), -1)
    strongest = np.linalg.eigh(flat @ flat.conj().T)[1][:, -1]
    reference = np.tensordot(strongest.conj(), maps, axes=1)
    smooth: ComplexArray = maps * np.exp(-1j * np.angle(reference))
    return smooth


def _continued(maps: ComplexArray) -> ComplexArray:
    """Least-squares fit of slow periodic functions (rough ones penalised) to the known pixels, everywhere.

    A crease or a jump, at the rim of a filled-in region or across the border of the field of view where an object reaches it,
    would be something that calibration lines cannot show and no estimate of maps can follow. Measured maps turn abruptly at
    the border, where what lies behind is folded in: they are not used there.
    """
    known = np.any(maps != 0, axis=0)
    known &= np.pad(np.ones([n - 2 * BORDER for n in known.shape], np.bool_), BORDER)
    n_y, n_x = known.shape
    order = np.arange(-HIGHEST_ORDER, HIGHEST_ORDER + 1)
    along_y, along_x = (np.exp(2j * np.pi * order * np.arange(n)[:, None] / n) for n in (n_y, n_x))
    basis = (along_y[:, None, :, None] * along_x[None, :, None, :]).reshape(n_y, n_x, -1)
    roughness = (order[:, None] ** 2 + order[None, :] ** 2).reshape(-1).astype(np.float64) ** 2
    at_known = basis[known]
    normal = at_known.conj().T @ at_known + np.diag(SMOOTHNESS * len(at_known) * roughness)
    weights = np.linalg.solve(normal, at_known.conj().T @ maps[:, known].T)
    fitted: ComplexArray = np.moveaxis(basis @ weights, -1, 0)
    return fitted


def _zoomed(coil: ComplexArray, factors: list[float]) -> ComplexArray:
    real, imaginary = (ndimage.zoom(part, factors, order=1, grid_mode=True, mode="nearest") for part in _parts(coil))
    return np.asarray(real + 1j * imaginary, np.complex64)


def _parts(coil: ComplexArray) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    return coil.real, coil.imag
