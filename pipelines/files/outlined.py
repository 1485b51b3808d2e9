"""The image with outlines about the structures that neither the conventional image nor the interval of its error supports."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeAlias

import ismrmrd
import numpy as np
import numpy.typing as npt

from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.files.images import white_of

Volume: TypeAlias = npt.NDArray[np.float32]  # (z, y, x)
Colours: TypeAlias = npt.NDArray[np.uint8]  # (z, y, x, 3)

COLOUR = (255, 176, 0)
NORMAL_90 = 1.645  # standard deviations that hold 90 % of errors, where calibration does not say how many


def snr_pixels(pixels: npt.NDArray[Any], meta: Mapping[str, Any]) -> Volume:
    """Magnitudes of an image as it is stored or sent, in SNR units."""
    stored = pixels["real"] + 1j * pixels["imag"] if pixels.dtype.names else pixels
    return np.asarray(np.nan_to_num(np.abs(stored) * rescale_slope(meta)), np.float32)


def rescale_slope(meta: Mapping[str, Any]) -> float:
    """Factor from the pixels of an image to SNR units, 1 where its metadata state none.

    Raises
    ------
    InputError
        When they state something that is no finite number.
    """
    return _number(meta, "RescaleSlope", 1.0)


def _number(meta: Mapping[str, Any], name: str, default: float) -> float:
    stated = meta.get(name, default)
    try:
        found = float(stated)
    except (TypeError, ValueError):
        found = math.nan
    if not math.isfinite(found):
        raise InputError(f"{name} of an image must be a finite number, got {str(stated)[:80]!r}")
    return found


def standard_deviations(meta: Mapping[str, Any]) -> float:
    """Half-width of the interval in standard deviations, from the metadata of the map."""
    return _number(meta, "nilatron_uncertainty_kappa", NORMAL_90)


def outlined(images: Mapping[str, ismrmrd.Image]) -> Colours:
    """The main image of a slice, from its images by role (`roles.COMPARED`).

    Raises
    ------
    InputError
        When they have different sizes.
    """
    meta = {role: image.meta for role, image in images.items()}
    pixels = {role: snr_pixels(image.data[0], meta[role]) for role, image in images.items()}
    if len({each.shape for each in pixels.values()}) > 1:
        raise InputError(f"no outlines: {', '.join(f'{role} has {each.shape}' for role, each in pixels.items())}")
    half_width = standard_deviations(meta["uncertainty"]) * pixels["uncertainty"]
    return with_outlines(pixels["main"], spots_of(pixels["main"], pixels["conventional"], half_width))


def spots_of(main: Volume, conventional: Volume, half_width: Volume) -> npt.NDArray[np.bool_]:
    """The structures (z, y, x) that neither supports, plane by plane."""
    from nilatron.core.uncertainty.unsupported import unsupported  # SciPy takes its time, and images are not there yet

    return np.stack([unsupported(*planes) for planes in zip(main, conventional, half_width, strict=True)])


def with_outlines(main: Volume, spots: npt.NDArray[np.bool_]) -> Colours:
    """The image in grey, black to white from 0 to its 99.5th percentile, with the outlines of spots in colour."""
    from nilatron.core.uncertainty.unsupported import outline

    grey = np.rint(255 * (main / white_of(main)).clip(0, 1)).astype(np.uint8)
    coloured = np.stack([grey] * 3, axis=-1)
    coloured[np.stack([outline(plane) for plane in spots])] = COLOUR
    return coloured


def count(spots: npt.NDArray[np.bool_]) -> int:
    """Number of spots in all planes."""
    from nilatron.core.uncertainty.unsupported import n_spots

    return sum(n_spots(plane) for plane in spots)
