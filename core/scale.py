"""Image scale and noise level of a slice, from its data and its conventional image."""

from __future__ import annotations

import math

from nilatron.core.backend import Array, percentile
from nilatron.core.measurement import Measurement, chi_squared

SCALE_PERCENT = 99.5
NOISE_FLOOR = 1e-3  # fraction of the image scale; below it single precision and coil maps limit the image, not noise


def image_scale(image: Array) -> float:
    """99.5th percentile of the image's magnitude; 1 for an image of zeros."""
    return percentile(abs(image), SCALE_PERCENT) or 1.0


def noise_level(operator: Measurement, data: Array, image: Array, scale: float) -> float:
    """max(1, sqrt(chi2 of the conventional image), noise floor): noise and model error together, in SNR units.

    It is a complex standard deviation; whitened noise alone has 1. Where the maps do not fit the data (motion, aliases,
    ripples) even the image that fits the data best leaves a residual larger than noise, and a prior that takes this residual
    for anatomy turns it into ghosts.
    """
    return max(1.0, math.sqrt(chi_squared(operator, data, image)), NOISE_FLOOR * scale)
