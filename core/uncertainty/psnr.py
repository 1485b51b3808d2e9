"""The PSNR that predicted errors stand for."""

from __future__ import annotations

import math

from nilatron.core.backend import Array, to_numpy
from nilatron.core.metrics import FOREGROUND


def predicted_psnr_db(image: Array, deviation: Array, scale: float) -> float:
    """PSNR in dB that predicted variances stand for: peak and mean over the foreground of the image itself.

    Parameters
    ----------
    image, deviation
        (..., y, x): the image, and the standard deviation of its magnitude's error.
    scale
        Image scale; the foreground are the pixels above 8 % of it. An image without any has 0 dB.
    """
    magnitude, spread = abs(to_numpy(image)), to_numpy(deviation)
    inside = magnitude > FOREGROUND * scale
    if not inside.any():
        return 0.0
    variance = float((spread[inside] ** 2).mean())
    return 10 * math.log10(float(magnitude[inside].max()) ** 2 / max(variance, 1e-30))
