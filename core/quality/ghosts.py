"""Ghosts: copies of the object, shifted by a fraction of the field of view along a phase encoding.

Lines that alternate leave a copy at FOV/2, aliases that were not unfolded copies at multiples of FOV/R. Coil maps that were
made from such data explain them, so no residual tells. With h the magnitude image less its local mean (edges, and no
background), a copy makes

c(s) = sum_r h(r) h(r + s) / sum_r h(r)^2

large at that very shift s, while anatomy does not know it: what it has in common with itself it has at other shifts, too.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nilatron.core.backend import Array, namespace, to_numpy
from nilatron.core.fft import uncentred

WINDOW = 5  # pixels of the local mean
MIN_PIXELS = 24  # along an axis: with fewer everything is near FOV/2
EDGES = 2  # pixels to either side of a shift that are no other shift: edges are so wide


@dataclass(frozen=True)
class Ghost:
    """How much the image repeats itself at a shift.

    Attributes
    ----------
    axis
        Of the image (z, y, x).
    divisor, multiple
        The shift is `multiple` / `divisor` of the field of view.
    correlation
        c(s).
    elsewhere
        The largest c at shifts nearby: what the object has by itself.
    is_full
        Whether no rows were left out along the axis, or in no order.
    """

    axis: int
    divisor: int
    multiple: int
    correlation: float
    elsewhere: float
    is_full: bool

    @property
    def strength(self) -> float:
        """By how much c(s) stands out."""
        return self.correlation - max(self.elsewhere, 0.0)


def edges(image: Array) -> Array:
    """Magnitudes (z, y, x) less their mean over `WINDOW` pixels an axis of the plane."""
    xp = namespace(image)
    magnitude = xp.abs(image)
    mean = magnitude
    for axis in (1, 2):
        if image.shape[axis] > WINDOW:
            mean = sum(xp.roll(mean, shift, axis=axis) for shift in range(-(WINDOW // 2), WINDOW // 2 + 1)) / WINDOW
    return magnitude - mean


def self_correlation(edges_: Array, axis: int) -> npt.NDArray[np.float64]:
    """c(s) for all cyclic shifts s = 0, 1, ... along an axis; zeros for an image without edges."""
    xp = namespace(edges_)
    spectrum = uncentred(xp.astype(edges_, xp.complex64), (axis,), inverse=False)
    others = tuple(a for a in range(3) if a != axis)
    power = to_numpy(xp.sum(xp.real(spectrum) ** 2 + xp.imag(spectrum) ** 2, axis=others, dtype=xp.float64))
    products = np.fft.ifft(power).real
    return products / products[0] if products[0] > 0 else 0 * products


def spacing(counts: npt.NDArray[np.float32], axis: int) -> int:
    """Rows from one acquired row to the next along a phase encoding, as most have it; 1 where that is not regular."""
    others = tuple(a for a in range(counts.ndim) if a != axis)
    rows = np.flatnonzero(counts.max(axis=others) > 0)
    gaps = Counter(np.diff(rows).tolist())
    wide = {gap: n for gap, n in gaps.items() if gap > 1}
    if not wide:
        return 1
    gap, n = max(wide.items(), key=lambda pair: pair[1])
    return int(gap) if n >= 0.8 * sum(wide.values()) else 1


def ghosts(image: Array, counts: npt.NDArray[np.float32], axes: tuple[int, ...] = (0, 1)) -> list[Ghost]:
    """The strongest ghost along each phase encoding that is long enough: at FOV/2, and at multiples of FOV/R.

    Parameters
    ----------
    image
        (z, y, x).
    counts
        Acquisitions behind each sample of k-space (z, y, x), on the host: its rows tell R.
    axes
        Phase encodings among the image's axes.
    """
    found, sharp = [], edges(image)
    for axis in axes:
        n = int(image.shape[axis])
        if n < MIN_PIXELS:
            continue
        c = self_correlation(sharp, axis)
        r = spacing(counts, axis)
        shifts = {(2, 1)} | {(r, m) for m in range(1, r // 2 + 1) if 2 * m != r}
        found.append(
            max((_ghost(c, axis, *shift, is_full=r == 1) for shift in sorted(shifts)), key=lambda ghost: ghost.strength)
        )
    return found


def _ghost(c: npt.NDArray[np.float64], axis: int, divisor: int, multiple: int, *, is_full: bool) -> Ghost:
    n = len(c)
    shift = n * multiple / divisor
    at = {math.floor(shift), math.ceil(shift)}
    near = range(EDGES + 2, max(n // 12, EDGES + 4))
    others = {(round(shift) + sign * k) % n for k in near for sign in (-1, 1)}
    correlation, elsewhere = (max(float(c[s % n]) for s in shifts) for shifts in (at, others))
    return Ghost(axis, divisor, multiple, correlation, elsewhere, is_full)
