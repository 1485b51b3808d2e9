"""Signal where no object is: the calibration lines show, at low resolution, where it ends.

outside = sqrt(max(sum over the background of |x|^2 - its noise, 0) / sum of |x|^2)

The background is where the calibration's image holds no more than a small fraction of its strongest pixel, a pixel of it
away from all that holds more. Images of moved or wrong coil maps, and aliases, have signal there.
"""

from __future__ import annotations

import math

from nilatron.core.backend import Array, namespace
from nilatron.core.fft import ifft
from nilatron.core.kspace import centre_window
from nilatron.core.quality.coverage import coil_energy, nearest

DARK = 0.03  # of the calibration image's largest magnitude
MIN_SHARE = 0.02  # of the pixels: less is no background


def energy_outside(image: Array, calibration: Array, noise_variance: float) -> float:
    """Sqrt of the share of the image's energy that lies outside the object, the noise taken out.

    Parameters
    ----------
    image
        (z, y, x).
    calibration
        Fully sampled block around DC (coil, z, y, x), of noise variance 1.
    noise_variance
        Of a pixel of the background, at most.
    """
    xp = namespace(calibration)
    window = centre_window(calibration, xp.ones_like(xp.real(calibration[0])))  # or its edges ring into the dark
    seen = coil_energy(ifft(calibration * window))
    energy = xp.real(image) ** 2 + xp.imag(image) ** 2
    total = float(xp.mean(energy, dtype=xp.float64))
    for axis in range(3):
        if seen.shape[axis] > 2:
            seen = xp.maximum(seen, xp.maximum(xp.roll(seen, 1, axis=axis), xp.roll(seen, -1, axis=axis)))
    dark = seen <= DARK**2 * xp.max(seen)
    outside = nearest(dark, tuple(image.shape))
    share = float(xp.mean(xp.astype(outside, xp.float64)))
    if share < MIN_SHARE or total == 0:
        return 0.0
    of_background = float(xp.mean(xp.where(outside, energy, xp.zeros_like(energy)), dtype=xp.float64))
    return math.sqrt(max(of_background - share * noise_variance, 0.0) / total)
