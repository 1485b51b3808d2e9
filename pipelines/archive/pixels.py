"""Stored values of a series: one slope and one window for all its images.

    pixel = slope * stored,  |stored| <= 32767,

with the slope the smallest of 1, 2, 5 times a power of ten that holds the brightest pixel of the series.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

MAX_STORED = 32767
WINDOW_PERCENTILE = 99.5  # of the magnitudes of a series: what becomes white
STEPS = (1, 2, 5, 10)


@dataclass(frozen=True)
class Scaling:
    """How the pixels of a series are stored and shown.

    Attributes
    ----------
    slope
        Pixel value of one stored step.
    white
        Pixel value that becomes white; black is 0, or -white where there are negative pixels.
    is_signed
        Whether there are.
    """

    slope: float
    white: float
    is_signed: bool

    @property
    def window(self) -> tuple[float, float]:
        """Centre and width in the sense of DICOM's LINEAR function, which takes 1 from the width and 1/2 from the centre."""
        centre, width = (0.0, 2 * self.white) if self.is_signed else (self.white / 2, self.white)
        return centre + 0.5, width + 1

    def stored(self, pixels: npt.NDArray[Any]) -> npt.NDArray[np.int16]:
        """Stored values of pixels; what is not finite becomes 0."""
        return np.rint(finite(pixels).astype(np.float64) / self.slope).astype(np.int16)

    def set_pixels(self, data: Any, pixels: npt.NDArray[Any]) -> None:
        """Set the pixels (y, x) of a DICOM object, their format, slope and window."""
        data.Rows, data.Columns = pixels.shape
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, int(self.is_signed)
        data.RescaleSlope, data.RescaleIntercept, data.RescaleType = f"{self.slope:g}", "0", "US"
        data.WindowCenter, data.WindowWidth = (f"{value:.6g}" for value in self.window)
        data.PixelData = self.stored(pixels).astype("<i2").tobytes()  # up to 32767, as uint16 has them


def scaling_of(brightest: float, images: Iterable[npt.NDArray[Any]]) -> Scaling:
    """Slope and window of a series, by its largest magnitude and all its pixels."""
    unsigned = Scaling(slope_of(brightest), 0.0, is_signed=False)
    counts, is_signed = np.zeros(MAX_STORED + 1, np.int64), False
    for pixels in images:
        stored = unsigned.stored(pixels)
        is_signed |= bool((stored < 0).any())
        counts += np.bincount(np.abs(stored).reshape(-1), minlength=MAX_STORED + 1)
    rank = np.cumsum(counts)
    top = int(np.searchsorted(rank, WINDOW_PERCENTILE / 100 * rank[-1]))
    return Scaling(unsigned.slope, unsigned.slope * max(1, top), is_signed)


def slope_of(brightest: float) -> float:
    """The slope of a series by its largest magnitude; 1 for a series of zeros."""
    if brightest <= 0:
        return 1.0
    exponent = math.floor(math.log10(brightest / MAX_STORED))
    slopes = (float(f"{step}e{exponent}") for step in STEPS)  # parsed: powers of floats would not be exact
    return next((slope for slope in slopes if brightest / slope <= MAX_STORED), float(f"2e{exponent + 1}"))


def largest(pixels: npt.NDArray[Any]) -> float:
    """Largest finite magnitude; 0 where there is none."""
    return float(np.abs(finite(pixels)).max(initial=0.0))


def finite(pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The pixels, with zeros in place of what is not finite."""
    found: npt.NDArray[Any] = np.nan_to_num(pixels, nan=0.0, posinf=0.0, neginf=0.0)
    return found
