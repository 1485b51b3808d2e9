"""The PSNR that predicted errors stand for."""

from __future__ import annotations

import math

from nilatron.core.backend import Array, to_numpy
from nilatron.core.metrics import FOREGROUND


def predicted_variance(image: Array, deviation: Array, scale: float) -> float:
    """Mean predicted variance over the foreground of the image itself, 0 for an image without any.

    Parameters
    ----------
    image, deviation
        (..., y, x): the image, and the standard deviation of its magnitude's error.
    scale
        Image scale; the foreground are the pixels above 8 % of it.
    """
    inside = abs(to_numpy(image)) > FOREGROUND * scale
    return float((to_numpy(deviation)[inside] ** 2).mean()) if inside.any() else 0.0


def predicted_psnr_db(image: Array, deviation: Array, scale: float) -> float:
    """PSNR in dB that predicted variances stand for: peak of the image and `predicted_variance`; 0 without foreground."""
    magnitude = abs(to_numpy(image))
    inside = magnitude > FOREGROUND * scale
    if not inside.any():
        return 0.0
    variance = predicted_variance(image, deviation, scale)
    return 10 * math.log10(float(magnitude[inside].max()) ** 2 / max(variance, 1e-30))
