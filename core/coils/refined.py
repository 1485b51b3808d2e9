"""Coil maps that an image of the slice corrects.

With the image x known, the data y = P F(S x) + e are linear in the maps. Smooth corrections of the maps that there are,
S = S_0 + F^H W h with the W of joint estimation, have few unknowns h, all of low frequency, and samples around DC tell them:

    r_c = y_c - P F(S_0c x) = B h_c + e_c,   B = P F diag(x) F^H W,   h ~ CN(0, t^2),   e ~ CN(0, v / w(|k|)).

B is the same for all coils and small, so t^2 and v are those of the largest evidence, in closed form from its singular values.
e holds noise and the errors of the image; w(|k|) is what the residual around a frequency says of them. The maps stay as they
are where a correction is not much more probable than none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nilatron.core.backend import Array, converted_to, namespace, real_dtype, squared_norm, to_numpy
from nilatron.core.coils.joint.calibration import JointSettings
from nilatron.core.coils.ridge import RidgeFit
from nilatron.core.fft import fft, ifft
from nilatron.core.oversampling import resize_centre
from nilatron.core.sense import SenseOperator

RING = 3  # samples of |k| that share a weight w
WEAKEST = 1e-3  # of the mean residual: a ring of few samples is no better known


@dataclass(frozen=True)
class RefinementSettings:
    """Settings of the correction.

    Attributes
    ----------
    window
        Samples around DC along each axis that tell the maps.
    least_smoothing
        Smallest W of an unknown.
    largest
        Largest standard deviation of the correction, of maps of unit root sum of squares.
    n_sizes
        How many standard deviations are tried, each half of the one before.
    gain
        By how much the logarithm of the evidence has to rise.
    fall
        Share of the residual that the correction has to explain.
    """

    window: int = 64
    least_smoothing: float = 1e-2
    largest: float = 0.1
    n_sizes: int = 7
    gain: float = 5.0
    fall: float = -math.inf


@dataclass(frozen=True, eq=False)
class Refinement:
    """Corrected maps, or why there are none.

    Attributes
    ----------
    maps
        (coil, z, y, x), sum_c |S_c|^2 = 1 where those before are not 0, of their phase; None where those are kept.
    before, after
        Mean residual |r|^2 of the samples in units of their noise, with the maps before and with the correction.
    gain
        Of the logarithm of the evidence.
    """

    maps: Array | None
    before: float
    after: float
    gain: float


def refined_maps(
    operator: SenseOperator, data: Array, image: Array, settings: RefinementSettings | None = None
) -> Refinement:
    """Maps of a slice of one partition, corrected by its image.

    Parameters
    ----------
    operator, data
        Its measurement, and the data (coil, 1, y, x).
    image
        (1, y, x), in units of the data, of a prior that does not know the maps rather than of the data alone: what fits the
        data with wrong maps tells nothing of them.

    Raises
    ------
    ValueError
        When the slice is a volume, or a batch.
    """
    if operator.coil_maps.ndim != 4 or operator.coil_maps.shape[1] != 1:
        raise ValueError(f"maps (coil, 1, y, x) of one slice can be corrected, got {tuple(operator.coil_maps.shape)}")
    settings = settings or RefinementSettings()
    xp = namespace(data)
    image = image * operator.support
    window = _Window.of(operator, settings)
    residual = window.samples(data - operator.forward(image))
    before = squared_norm(residual) / max(math.prod(residual.shape), 1)
    if before == 0 or not math.isfinite(before) or not bool(xp.any(image != 0)):
        return Refinement(None, before, before, 0.0)
    design = window.design(image)
    weights = xp.sqrt(window.precision(residual))
    fit = RidgeFit.of(design * weights[:, None], residual * weights)
    largest = settings.largest * math.sqrt(image.shape[-1] * image.shape[-2] / int(residual.shape[0]))
    spread = largest / math.sqrt(float(np.sum(window.smoothing**2)))
    size, gain = fit.likeliest([spread * 0.5**n for n in range(settings.n_sizes)])
    if gain < settings.gain:
        return Refinement(None, before, before, gain)
    unknowns = fit.solution(size)
    after = squared_norm(residual - (design @ unknowns).T) / math.prod(residual.shape)
    if after > (1 - settings.fall) * before:
        return Refinement(None, before, after, gain)
    return Refinement(_corrected(operator.coil_maps, window.maps(unknowns)), before, after, gain)


def _corrected(maps: Array, change: Array) -> Array:
    """S_0 + dS, dS without what only turns or scales the maps of a pixel, and sum_c |S_c|^2 = 1 again inside the object."""
    xp = namespace(maps)
    change = change - maps * xp.sum(xp.conj(maps) * change, axis=0)
    inside = xp.any(maps != 0, axis=0)
    changed = (maps + change) * inside
    norm = xp.sqrt(xp.sum(xp.real(changed) ** 2 + xp.imag(changed) ** 2, axis=0))
    return changed / xp.where(inside, norm, xp.ones_like(norm))


@dataclass(frozen=True, eq=False)
class _Window:
    """The acquired samples around DC.

    Attributes
    ----------
    shape, sides
        (y, x) of the grid, and of the window.
    places
        Numbers of the samples in the window, flat.
    factors
        sqrt(counts) of each.
    frequencies, smoothing
        (unknown, 2) and W (unknown).
    """

    shape: tuple[int, int]
    sides: tuple[int, int]
    places: Array
    factors: Array
    frequencies: npt.NDArray[np.int64]
    smoothing: npt.NDArray[np.float64]

    @classmethod
    def of(cls, operator: SenseOperator, settings: RefinementSettings) -> _Window:
        joint = JointSettings()
        n_y, n_x = (int(n) for n in operator.counts.shape[-2:])
        sides = (min(n_y, settings.window), min(n_x, settings.window))
        factors = namespace(operator.weights).reshape(_centre(operator.weights, sides), (-1,))
        (places,) = namespace(factors).nonzero(factors)
        axes = [np.arange(-n, n + 1) for n in ((side - 1) // 2 for side in sides)]
        frequencies = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
        smoothing = (1 + joint.smoothness * np.sum(frequencies**2, axis=1)) ** -joint.order
        kept = smoothing > settings.least_smoothing
        return cls((n_y, n_x), sides, places, factors[places], frequencies[kept], smoothing[kept])

    def samples(self, array: Array) -> Array:
        """(coil, sample) of k-space (coil, 1, y, x)."""
        xp = namespace(array)
        return xp.take(xp.reshape(_centre(array, self.sides), (array.shape[0], -1)), self.places, axis=1)

    def design(self, image: Array) -> Array:
        """B: (sample, unknown)."""
        xp = namespace(image)
        kspace = fft(image)[0] / math.sqrt(math.prod(self.shape))
        rows, columns = (
            [n // 2 - side // 2 + number for number in range(side)]
            for n, side in zip(self.shape, self.sides, strict=True)
        )
        parts = []
        for (k_y, k_x), factor in zip(self.frequencies, self.smoothing, strict=True):
            at_y = [(i - int(k_y)) % self.shape[0] for i in rows]
            at_x = [(i - int(k_x)) % self.shape[1] for i in columns]
            part = xp.take(
                xp.take(kspace, xp.asarray(at_y, device=image.device), axis=0),
                xp.asarray(at_x, device=image.device),
                axis=1,
            )
            parts.append(xp.take(xp.reshape(part, (-1,)), self.places) * float(factor))
        return xp.stack(parts, axis=1) * self.factors[:, None]

    def precision(self, residual: Array) -> Array:
        """The w of each sample, from the residual (coil, sample) of its ring."""
        places = to_numpy(self.places)
        away = [place - side // 2 for place, side in zip(divmod(places, self.sides[1]), self.sides, strict=True)]
        rings = (np.hypot(*away) / RING).astype(np.int64)
        energy = np.mean(np.abs(to_numpy(residual)) ** 2, axis=0, dtype=np.float64)
        of_rings = np.bincount(rings, energy) / np.maximum(np.bincount(rings), 1)
        found = 1 / np.maximum(of_rings, WEAKEST * energy.mean())[rings]
        xp = namespace(residual)
        return xp.astype(converted_to(found, residual), real_dtype(residual))

    def maps(self, unknowns: Array) -> Array:
        """F^H W h: (coil, 1, y, x) of h (unknown, coil)."""
        xp = namespace(unknowns)
        n_coils = int(unknowns.shape[1])
        kspace = xp.zeros((n_coils, 1, *self.shape), dtype=unknowns.dtype, device=unknowns.device)
        centre = [n // 2 for n in self.shape]
        for number, (k_y, k_x) in enumerate(self.frequencies):
            kspace[:, 0, centre[0] + int(k_y), centre[1] + int(k_x)] = unknowns[number] * float(self.smoothing[number])
        return ifft(kspace)


def _centre(array: Array, sides: tuple[int, int]) -> Array:
    """The samples around DC of (..., y, x)."""
    for axis, side in zip((-2, -1), sides, strict=True):
        array = resize_centre(array, side, array.ndim + axis)
    return array
