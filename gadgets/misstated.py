"""What an image says against the numbers of its header, where lines alone do not contradict them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from nilatron.core.backend import Array, to_numpy
from nilatron.gadgets.encoding import acceleration_factors
from nilatron.gadgets.items import KSpaceSlice

FEWEST_ROWS = 8
SAME_FOV = 0.01  # of a field of view
FEWER_PIXELS = 0.85  # of encodedSpace's, in reconSpace
OUTSIDE = 0.02  # of the image's energy: an object that fills the field of view has more in its outer part


def misstatements(item: KSpaceSlice, image: Array) -> Iterator[str]:
    """Numbers of the header that cannot be right, in sentences.

    Parameters
    ----------
    item
        The slice.
    image
        Its image (z, y, x) on the encoded grid, in SNR units.
    """
    yield from _of_factors(item)
    yield from _of_fields_of_view(item.encoding, image)


def _of_factors(item: KSpaceSlice) -> Iterator[str]:
    """Rows that are next to each other, and so few as if some had been left out: they were numbered as they came."""
    for axis, name, factor in zip((1, 0), "yz", acceleration_factors(item.encoding), strict=True):
        size = item.counts.shape[axis]
        rows = np.flatnonzero(item.counts.any(axis=(1 - axis, 2)))
        if factor < 2 or len(rows) < FEWEST_ROWS or len(rows) != rows[-1] - rows[0] + 1:
            continue
        if len(rows) < size and len(rows) * factor < size + factor:
            yield (
                f"the {len(rows)} rows along {name} are next to each other, the header says that 1 of {factor:g} of {size} "
                "was acquired: they may be numbered as they came, and the image aliased"
            )


def _of_fields_of_view(encoding: Any, image: Array) -> Iterator[str]:
    """An object that fills no more of the encoded field of view than the pixels of reconSpace would, were they as large."""
    encoded, recon = encoding.encodedSpace, encoding.reconSpace
    energy = None
    for axis, name in enumerate("zyx"):
        fov_mm, recon_mm = float(getattr(encoded.fieldOfView_mm, name)), float(getattr(recon.fieldOfView_mm, name))
        n, n_recon = int(image.shape[axis]), int(getattr(recon.matrixSize, name))
        if n != int(getattr(encoded.matrixSize, name)) or abs(recon_mm - fov_mm) > SAME_FOV * fov_mm:
            continue
        if not 0 < n_recon < FEWER_PIXELS * n:
            continue
        energy = np.abs(to_numpy(image)).astype(float) ** 2 if energy is None else energy
        first = n // 2 - n_recon // 2
        outer = np.delete(energy, np.s_[first : first + n_recon], axis)
        if energy.any() and outer.sum() - outer.size < OUTSIDE * energy.sum():  # less the noise, 1 in each pixel
            yield (
                f"the header has {n} pixels over {fov_mm:g} mm along {name}, and {n_recon} over the same in reconSpace, but "
                f"the object lies in the middle {n_recon}: oversampling is not in the field of view, the image is narrowed"
            )
