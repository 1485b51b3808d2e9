"""One image file in, the denoised one out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image as Picture
from torch import Tensor

from nilatron.core.baselines.wavelet_denoise import estimate_sigma
from nilatron.core.prior.edm import EDMDenoiser
from nilatron.core.scale import image_scale
from nilatron.pipelines.files.atomic import InputError, atomic_path
from nilatron.pipelines.files.disk import npy_bytes
from nilatron.pipelines.files.pictures import UNREADABLE, read_npy, read_png

KINDS = (".npy", ".png")


@dataclass(frozen=True)
class Denoised:
    """The image in its own units, with the scale and the noise (of one real component) that were found or given."""

    image: npt.NDArray[Any]
    scale: float
    sigma: float


def read_image(path: Path) -> npt.NDArray[Any]:
    """Float32 or complex64 (..., y, x) of a grey PNG or an npy file.

    Raises
    ------
    InputError
        When it cannot be read, or is no finite image.
    """
    if not path.is_file():
        raise InputError(f"{path}: {'is not a file' if path.exists() else 'no such file'}")
    try:
        image = read_npy(path) if _kind(path) == ".npy" else read_png(path, "F")
    except UNREADABLE as error:
        raise InputError(f"{path}: is not an image (PNG, npy) that can be read: {error}") from error
    if image.dtype.kind not in "uifc" or image.ndim < 2 or not image.size:
        raise InputError(f"{path}: an image must be numbers of shape (..., y, x), got {image.dtype} {image.shape}")
    image = image.astype(np.complex64 if image.dtype.kind == "c" else np.float32)
    if not np.isfinite(image).all():
        raise InputError(f"{path}: holds values that are not finite; mask or repair them first")
    return image


def denoise(image: npt.NDArray[Any], denoiser: EDMDenoiser, sigma: float | None, seed: int = 0) -> Denoised:
    """D(x / scale, sigma) * scale, slice by slice; the scale is the 99.5th percentile of all magnitudes.

    Parameters
    ----------
    image
        Complex or real (..., y, x). A real image gets an imaginary part of noise alone, at the same level: the prior
        knows complex images, and noise in one component only misleads it.
    sigma
        Complex standard deviation of the noise at image scale 1, so that each real component has sigma / sqrt(2). None:
        measured in the finest details of the image.
    seed
        Of the imaginary noise.

    Raises
    ------
    InputError
        When sigma is not positive, or no noise is found.
    """
    x = torch.from_numpy(image)
    peak = float(x.abs().max())
    scale = peak * image_scale(x / peak) if peak else 1.0
    x = x / scale
    if sigma is None:
        sigma = _measured(x)
    if not 0 < sigma < math.inf:
        raise InputError(f"sigma must be a positive number, got {sigma}")
    per_component = sigma / math.sqrt(2)
    noisy = x
    if not x.is_complex():
        generator = torch.Generator().manual_seed(seed)
        noisy = torch.complex(x, per_component * torch.randn(x.shape, generator=generator))
    device = next(denoiser.parameters()).device
    slices = [denoiser.denoise(one.to(device), sigma).cpu() for one in noisy.reshape(-1, *x.shape[-2:])]
    estimate = torch.stack(slices).reshape(x.shape)
    kept = estimate if x.is_complex() else estimate.real
    return Denoised((kept * scale).numpy(), scale, sigma)


def _measured(x: Tensor) -> float:
    try:
        sigma = estimate_sigma(x) * (1 if x.is_complex() else math.sqrt(2))
    except ValueError as error:
        raise InputError(f"{error}; give its level with --sigma") from error
    if sigma <= 0:
        raise InputError("no noise was found in the image: give its level with --sigma")
    return sigma


def check_output(path: Path, *, overwrite: bool) -> None:
    """Refuse a name that could not be written, before work is done for it.

    Raises
    ------
    InputError
        When the kind is unknown, or the file exists and may not be replaced.
    """
    _kind(path)
    if path.is_dir() or (path.exists() and not overwrite):
        raise InputError(f"{path} exists: {'give a file name' if path.is_dir() else 'choose another or --overwrite'}")


def write_image(path: Path, image: npt.NDArray[Any]) -> None:
    """Write npy as it is; PNG as magnitude: grey levels kept where they fit 0 to 255, else 0 to the 99.5th percentile.

    Raises
    ------
    InputError
        When the folder cannot be written, or a stack should become a PNG.
    """
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        if _kind(path) == ".npy":
            file.write(npy_bytes(image))
            return
        if image.ndim != 2:
            raise InputError(f"{path}: a PNG holds one image, this has shape {image.shape}; write .npy")
        magnitude = np.abs(image) if np.iscomplexobj(image) else image.clip(0)
        Picture.fromarray(_grey_levels(magnitude)).save(file, format="PNG")


def _grey_levels(magnitude: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    peak = float(np.percentile(magnitude, 99.5))
    if not 1 < peak <= 255:
        magnitude = magnitude * (255 / max(peak, 1e-30))
    return np.asarray(magnitude.round().clip(0, 255), np.uint8)


def _kind(path: Path) -> str:
    if path.suffix.lower() not in KINDS:
        raise InputError(f"{path}: expected a file name that ends in {' or '.join(KINDS)}")
    return path.suffix.lower()
