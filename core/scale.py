"""Image scale and noise level of a slice, from its data and its conventional image."""

from __future__ import annotations

import math

from nilatron.core.backend import Array, percentile
from nilatron.core.measurement import Measurement, chi_squared

SCALE_PERCENT = 99.5
NOISE_FLOOR = 1e-3  # of the image scale: below it single precision and coil maps limit the image, not noise


def image_scale(image: Array) -> float:
    """99.5th percentile of the magnitude; 1 for an empty image."""
    return percentile(abs(image), SCALE_PERCENT) or 1.0


def noise_level(operator: Measurement, data: Array, image: Array, scale: float) -> float:
    """Complex standard deviation of what the model cannot explain, in SNR units.

    max(1, sqrt(chi2 of the conventional image), noise floor): whitened noise has 1. Where the maps do not fit the data (they
    moved, alias or ripple) even the image that follows the data best leaves more than noise, and a prior that takes the
    difference for anatomy makes ghosts of it.
    """
    return max(1.0, math.sqrt(chi_squared(operator, data, image)), NOISE_FLOOR * scale)
