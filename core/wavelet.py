"""Orthonormal Daubechies wavelets and the proximal map of their l1 norm.

W pads the image with zeros, transforms one level along every axis, and repeats this on the coarse block;  W^H W = I.

One periodic level (Daubechies, CPAM 1988, four taps, two vanishing moments; BART's `dau2`) is orthonormal where the
length is even. Each axis is therefore padded with zeros to a multiple of 2^levels: W is orthonormal on the padded grid
and an isometry on the image. `core.baselines.l1_wavelet` keeps its unknowns on the padded grid, where the proximal map
is exact.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nilatron.core.backend import Array, namespace

_ROOT3 = math.sqrt(3.0)
_LOW = tuple(tap / (4 * math.sqrt(2.0)) for tap in (1 + _ROOT3, 3 + _ROOT3, 3 - _ROOT3, 1 - _ROOT3))
MIN_BAND = 4  # shortest band: the length of the filter


@dataclass(frozen=True)
class Wavelet:
    """Separable wavelet transform over the last axes of an image (..., z, y, x).

    Coefficients are packed in one array of the padded shape: the coarse block first along every axis.

    Parameters
    ----------
    shape
        Shape of the image without leading (batch) axes; axes of size below 8 are not transformed.
    max_levels
        Levels along a long axis; a short axis gets fewer, so that no band is shorter than the filter.

    Raises
    ------
    ValueError
        When `shape` is empty or `max_levels` negative.
    """

    shape: tuple[int, ...]
    max_levels: int = 4

    def __post_init__(self) -> None:
        if not self.shape or min(self.shape) < 1 or self.max_levels < 0:
            raise ValueError(
                f"a wavelet needs positive sizes and max_levels >= 0, got {self.shape} and {self.max_levels}: "
                "pass the shape of the image's last axes"
            )

    @cached_property
    def levels(self) -> tuple[int, ...]:
        """Number of levels along each axis."""
        return tuple(max(0, min(self.max_levels, int(math.log2(n / MIN_BAND)))) if n > 1 else 0 for n in self.shape)

    @cached_property
    def padded_shape(self) -> tuple[int, ...]:
        """Shape of the coefficients: each axis a multiple of 2^levels."""
        return tuple(-(-n // 2**level) * 2**level for n, level in zip(self.shape, self.levels, strict=True))

    def pad(self, image: Array) -> Array:
        """Image (..., shape) with zeros behind its last elements, (..., padded_shape)."""
        xp = namespace(image)
        for axis, (n, padded) in enumerate(zip(self.shape, self.padded_shape, strict=True), -len(self.shape)):
            if padded > n:
                gap = list(image.shape)
                gap[axis] = padded - n
                image = xp.concat([image, xp.zeros(tuple(gap), dtype=image.dtype, device=image.device)], axis=axis)
        return image

    def crop(self, padded: Array) -> Array:
        """Adjoint of `pad`."""
        return padded[(..., *(slice(n) for n in self.shape))]

    def forward(self, image: Array) -> Array:
        """W x: image (..., shape) to coefficients (..., padded_shape)."""
        return self.analyse(self.pad(image))

    def adjoint(self, coefficients: Array) -> Array:
        """W^H c, the image of coefficients c: the inverse of `forward`."""
        return self.crop(self.synthesise(coefficients))

    def analyse(self, padded: Array) -> Array:
        """Coefficients of an image on the padded grid; an orthonormal transform."""
        xp = namespace(padded)
        coefficients = xp.asarray(padded, copy=True)
        for level in range(max(self.levels, default=0)):
            block, axes = self._level(level)
            part = coefficients[block]
            for axis in axes:
                part = _split(part, axis)
            coefficients[block] = part
        return coefficients

    def synthesise(self, coefficients: Array) -> Array:
        """Inverse of `analyse`."""
        xp = namespace(coefficients)
        image = xp.asarray(coefficients, copy=True)
        for level in reversed(range(max(self.levels, default=0))):
            block, axes = self._level(level)
            part = image[block]
            for axis in reversed(axes):
                part = _merge(part, axis)
            image[block] = part
        return image

    @cached_property
    def coarse(self) -> tuple[object, ...]:
        """Index of the coarse block, which holds local means and is never thresholded."""
        return self._level(max(self.levels, default=0))[0]

    def _level(self, level: int) -> tuple[tuple[object, ...], tuple[int, ...]]:
        """Index of the block that `level` transforms, and the axes that it transforms."""
        block = tuple(slice(n >> min(level, own)) for n, own in zip(self.padded_shape, self.levels, strict=True))
        axes = tuple(axis for axis, own in enumerate(self.levels, -len(self.shape)) if level < own)
        return (..., *block), axes

    def random_shift(self, generator: np.random.Generator) -> tuple[int, ...]:
        """Random cyclic shift in pixels along each axis, for cycle spinning (Coifman and Donoho 1995)."""
        return tuple(int(generator.integers(2**level)) for level in self.levels)

    def shrink(self, padded: Array, threshold: Array | float, shift: tuple[int, ...] | None = None) -> Array:
        """Proximal map of threshold |W T x|_1 on the padded grid, with T the cyclic shift; the coarse block is kept.

        Parameters
        ----------
        padded
            (..., padded_shape), complex or real.
        threshold
            Threshold in the units of the image: a number, or an array with one for each image and all axes of `padded`.
        shift
            Pixels along each axis; no shift by default.
        """
        xp = namespace(padded)
        axes = tuple(range(-len(self.shape), 0))
        moved = xp.roll(padded, shift, axis=axes) if shift else padded
        coefficients = self.analyse(moved)
        kept = xp.asarray(coefficients[self.coarse], copy=True)
        coefficients = soft_threshold(coefficients, threshold)
        coefficients[self.coarse] = kept
        image = self.synthesise(coefficients)
        return xp.roll(image, tuple(-s for s in shift), axis=axes) if shift else image

    def detail_mean(self, image: Array) -> Array:
        """Sum of the magnitudes of the detail coefficients of each image (..., shape), divided by its number of pixels.

        The result is in double precision and has an axis of size 1 for each axis of the image.
        """
        xp = namespace(image)
        magnitude, axes = xp.abs(self.forward(image)), tuple(range(-len(self.shape), 0))
        everything, coarse = (
            xp.sum(values, axis=axes, keepdims=True, dtype=xp.float64) for values in (magnitude, magnitude[self.coarse])
        )
        return (everything - coarse) / math.prod(self.shape)


def soft_threshold(coefficients: Array, threshold: Array | float) -> Array:
    """Shrunk coefficients c (1 - threshold / |c|)_+; phases are kept."""
    xp = namespace(coefficients)
    magnitude = xp.abs(coefficients)
    kept = xp.where(magnitude > threshold, magnitude - threshold, xp.zeros_like(magnitude))
    return coefficients * (kept / xp.where(magnitude > 0, magnitude, xp.ones_like(magnitude)))


def _split(x: Array, axis: int) -> Array:
    """One periodic level: low[k] = sum_i h_i x[2k+i], then high[k] = sum_i (-1)^i h_{3-i} x[2k+i], along one axis."""
    xp = namespace(x)
    even, odd = _strided(x, axis, 0), _strided(x, axis, 1)
    even_next, odd_next = xp.roll(even, -1, axis=axis), xp.roll(odd, -1, axis=axis)
    h0, h1, h2, h3 = _LOW
    low = h0 * even + h1 * odd + h2 * even_next + h3 * odd_next
    high = h3 * even - h2 * odd + h1 * even_next - h0 * odd_next
    return xp.concat([low, high], axis=axis)


def _merge(x: Array, axis: int) -> Array:
    """Transpose of `_split`, which is also its inverse."""
    xp = namespace(x)
    half = x.shape[axis] // 2
    low, high = _section(x, axis, slice(None, half)), _section(x, axis, slice(half, None))
    low_last, high_last = xp.roll(low, 1, axis=axis), xp.roll(high, 1, axis=axis)
    h0, h1, h2, h3 = _LOW
    out = xp.empty_like(x)
    out[_index(axis, slice(0, None, 2))] = h0 * low + h3 * high + h2 * low_last + h1 * high_last
    out[_index(axis, slice(1, None, 2))] = h1 * low - h2 * high + h3 * low_last - h0 * high_last
    return out


def _index(axis: int, part: slice) -> tuple[object, ...]:
    return (..., part, *itertools.repeat(slice(None), -axis - 1))


def _section(x: Array, axis: int, part: slice) -> Array:
    return x[_index(axis, part)]


def _strided(x: Array, axis: int, first: int) -> Array:
    return _section(x, axis, slice(first, None, 2))
