"""Structures of an image that neither the conventional image nor the interval of its error supports.

With B the band-pass of structures of a size, G its smoothing, m the image, c the conventional image and h the half-width of
the interval that the error is in, a structure |B m| is

    not supported by the interval            when  |B m| < G h: the interval holds an image without it;
    not supported by the conventional image  when  sign(B m) B c < |B m| / 2: that shows less than half of it.

What neither supports may be there all the same. After the confidence maps of Luo et al., MRM 2023, which compare intervals with
a reference; here the conventional image stands for it, since a scan has no other.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from nilatron.core.metrics import FOREGROUND

Pixels = npt.NDArray[np.floating]
Mask = npt.NDArray[np.bool_]

RADII = (0.8, 1.5)  # of the smoothing, in pixels: structures of about 2 to 6 pixels
VISIBLE = 0.08  # share of its surroundings from which a structure is seen
SHOWN = 0.5  # share of a structure that the conventional image has to show
MIN_PIXELS = 4  # of a spot that is worth an outline
WHITE_PERCENTILE = 99.5


def unsupported(image: Pixels, conventional: Pixels, half_width: Pixels) -> Mask:
    """Pixels of the structures that neither supports.

    Parameters
    ----------
    image, conventional
        Magnitudes (y, x) in the same units.
    half_width
        Of the interval of the image's error (y, x), in these units.

    Raises
    ------
    ValueError
        When the shapes differ.
    """
    if not image.shape == conventional.shape == half_width.shape or image.ndim != 2:
        raise ValueError(f"expected three images (y, x), got {image.shape}, {conventional.shape}, {half_width.shape}")
    white = float(np.percentile(image, WHITE_PERCENTILE))
    found = np.zeros(image.shape, bool)
    for radius in RADII:
        around = ndimage.gaussian_filter(image, _outer(radius))
        seen, shown = _structures(image, radius), _structures(conventional, radius)
        is_visible = (np.abs(seen) > VISIBLE * around) & (around > FOREGROUND * white)
        is_in_interval = np.abs(seen) < ndimage.gaussian_filter(half_width, radius)
        found |= is_visible & is_in_interval & (np.sign(seen) * shown < SHOWN * np.abs(seen))
    spots, n_spots = ndimage.label(found)
    sizes = ndimage.sum_labels(found, spots, np.arange(n_spots + 1))
    large: Mask = found & (sizes >= MIN_PIXELS)[spots]
    return large


def outline(mask: Mask) -> Mask:
    """The pixels around the spots of a mask (y, x), none of which they cover."""
    ring: Mask = ndimage.binary_dilation(mask, ndimage.generate_binary_structure(2, 2)) & ~mask
    return ring


def n_spots(mask: Mask) -> int:
    """Number of connected spots of a mask."""
    return int(ndimage.label(mask)[1])


def _outer(radius: float) -> float:
    return 2 * radius + 0.5


def _structures(image: Pixels, radius: float) -> Pixels:
    """Band-pass: what smoothing keeps and stronger smoothing does not."""
    kept: Pixels = ndimage.gaussian_filter(image, radius) - ndimage.gaussian_filter(image, _outer(radius))
    return kept
