"""Measurement y = A x + n, A = P F S (Pruessmann et al., MRM 1999), with the weights of averaged lines.

Whitened samples have noise variance 1; a sample that is the mean of `counts` acquired ones has variance 1 / counts.
Multiplied by sqrt(counts) all have variance 1 again, so P = sqrt(counts) and every solver can treat the noise as white.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from nilatron.core.backend import Array, namespace, real_dtype
from nilatron.core.fft import SPATIAL_AXES, fft, ifft, uncentred
from nilatron.core.measurement import Measurement, Shape3
from nilatron.core.resolution import coarse_maps, crop_kspace


class SenseOperator(Measurement):
    """A x = sqrt(counts) F (S x), of one slice, or of each slice of a batch.

    Parameters
    ----------
    coil_maps
        Complex (..., coil, z, y, x).
    counts
        How often each k-space sample was acquired, real (..., z, y, x); 0 where it was not.

    Raises
    ------
    ValueError
        When the shapes differ; the methods raise it for images or data that do not fit.
    """

    def __init__(self, coil_maps: Array, counts: Array) -> None:
        if coil_maps.ndim < 4 or (*coil_maps.shape[:-4], *coil_maps.shape[-3:]) != tuple(counts.shape):
            raise ValueError(
                f"coil maps (..., coil, z, y, x) = {tuple(coil_maps.shape)} do not fit the counts (..., z, y, x) = "
                f"{tuple(counts.shape)}: estimate the maps for the shape of this k-space"
            )
        xp = namespace(coil_maps, counts)
        self.coil_maps = coil_maps
        self.counts = xp.astype(counts, real_dtype(coil_maps), copy=False)
        self.weights = xp.sqrt(self.counts)[..., None, :, :, :]

    @staticmethod
    def stacked(operators: Sequence[SenseOperator]) -> SenseOperator:
        """One operator for a batch of slices of one size: image i is measured by operator i.

        An operator with fewer coils than another gets additional coils of sensitivity 0. They change no image, but
        `n_samples` counts them.
        """
        n_coils = max(int(one.coil_maps.shape[-4]) for one in operators)
        xp = namespace(operators[0].coil_maps)
        maps = xp.stack([with_empty_coils(one.coil_maps, n_coils) for one in operators])
        return SenseOperator(maps, xp.stack([one.counts for one in operators]))

    @cached_property
    def n_samples(self) -> int:
        """Number of measured complex samples, summed over all coils and slices."""
        xp = namespace(self.counts)
        return int(xp.sum(xp.astype(self.counts > 0, xp.int64))) * int(self.coil_maps.shape[-4])

    @cached_property
    def norm_bound(self) -> Array | float:
        """max(counts) max(sum_c |S_c|^2) of each slice; tight if the centre of k-space is fully sampled."""
        xp = namespace(self.coil_maps)
        intensity = xp.sum(xp.real(self.coil_maps) ** 2 + xp.imag(self.coil_maps) ** 2, axis=-4)
        if self.counts.ndim == 3:
            return float(xp.max(self.counts)) * float(xp.max(intensity))
        max_count, max_intensity = (
            xp.max(values, axis=SPATIAL_AXES, keepdims=True) for values in (self.counts, intensity)
        )
        return max_count * max_intensity

    @cached_property
    def support(self) -> Array:
        """Pixels (..., z, y, x) where some map is not 0."""
        return namespace(self.coil_maps).any(self.coil_maps != 0, axis=-4)

    @cached_property
    def _has_averages(self) -> bool:
        xp = namespace(self.counts)
        return bool(xp.any((self.counts != 0) & (self.counts != 1)))

    def density_compensated(self, y: Array) -> Array:
        """D y = y / counts: A^H D y is S^H F^H of the mean k-space, the coil-combined image of fully sampled data."""
        self._check_data(y)
        if not self._has_averages:
            return y
        xp = namespace(y)
        return y / xp.where(self.counts > 0, self.counts, xp.ones_like(self.counts))[..., None, :, :, :]

    def coarse(self, y: Array, shape: Shape3) -> tuple[SenseOperator, Array]:
        """Measurement A' = P' F' S' of coarse images, with the maps S' at the nearest pixels, and the data around DC."""
        operator = SenseOperator(coarse_maps(self.coil_maps, shape), crop_kspace(self.counts, shape))
        return operator, crop_kspace(y, shape)

    def data(self, kspace: Array) -> Array:
        """Data y = sqrt(counts) kspace of the mean k-space (..., coil, z, y, x)."""
        return self.weights * kspace

    def forward(self, x: Array) -> Array:
        """A x: images (..., z, y, x) to weighted k-space (..., coil, z, y, x)."""
        self._check_images(x)
        return self.weights * fft(self.coil_maps * x[..., None, :, :, :])

    def adjoint(self, y: Array) -> Array:
        """A^H y: weighted k-space (..., coil, z, y, x) to images (..., z, y, x)."""
        self._check_data(y)
        xp = namespace(y)
        return xp.sum(xp.conj(self.coil_maps) * ifft(self.weights * y), axis=-4)

    def normal(self, x: Array) -> Array:
        """A^H A x, computed with Fourier transforms along only those axes along which the sampling varies.

        F along an axis of constant sampling (in all slices of a batch) commutes with P and cancels: with a fully sampled
        readout only the phase encodings are transformed. The centring shifts are applied once to maps and counts instead of
        to every product.
        """
        self._check_images(x)
        xp = namespace(x)
        axes, maps, conj_maps, counts = self.shifted
        if not axes:
            return xp.sum(conj_maps * (counts * (maps * x[..., None, :, :, :])), axis=-4)
        shifted = xp.fft.ifftshift(x, axes=axes)[..., None, :, :, :]
        coils = uncentred(maps * shifted, axes, inverse=False, overwrite=True)
        coils *= counts
        coils = uncentred(coils, axes, inverse=True, overwrite=True)
        coils *= conj_maps
        return xp.fft.fftshift(xp.sum(coils, axis=-4), axes=axes)

    def _check_images(self, x: Array) -> None:
        if not _fits(tuple(x.shape), tuple(self.counts.shape), n_axes=3):
            raise ValueError(
                f"images (..., z, y, x) = {tuple(x.shape)} do not fit the coil maps (..., coil, z, y, x) = "
                f"{tuple(self.coil_maps.shape)}: one image for each map set, or any number for one"
            )

    def _check_data(self, y: Array) -> None:
        if not _fits(tuple(y.shape), tuple(self.coil_maps.shape), n_axes=4):
            raise ValueError(
                f"k-space (..., coil, z, y, x) = {tuple(y.shape)} does not fit the coil maps (..., coil, z, y, x) = "
                f"{tuple(self.coil_maps.shape)}: it needs their coils and matrix, and their batch"
            )

    @cached_property
    def shifted(self) -> tuple[tuple[int, ...], Array, Array, Array]:
        """Axes to transform, and maps, their conjugate and counts with DC at index 0 along these axes."""
        xp = namespace(self.coil_maps)
        counts, axes = self.counts, []
        for axis in (-3, -2, -1):
            first = xp.take(counts, xp.asarray([0], device=counts.device), axis=axis)
            if bool(xp.all(counts == first)):
                counts = first
            else:
                axes.append(axis)
        shift, counts = tuple(axes), counts[..., None, :, :, :]
        counts = xp.astype(counts, self.coil_maps.dtype)  # every product would convert real factors again
        if not shift:
            return shift, self.coil_maps, xp.conj(self.coil_maps), counts
        maps = xp.fft.ifftshift(self.coil_maps, axes=shift)
        return shift, maps, xp.conj(maps), xp.fft.ifftshift(counts, axes=shift)


def with_empty_coils(array: Array, n_coils: int) -> Array:
    """Maps or k-space (..., coil, z, y, x), filled up to `n_coils` with coils of zeros behind the others."""
    xp, shape = namespace(array), tuple(array.shape)
    if shape[-4] == n_coils:
        return array
    empty = xp.zeros((*shape[:-4], n_coils - shape[-4], *shape[-3:]), dtype=array.dtype, device=array.device)
    return xp.concat([array, empty], axis=-4)


def _fits(shape: tuple[int, ...], expected: tuple[int, ...], n_axes: int) -> bool:
    """Whether an array of `shape` fits `expected`: equal last `n_axes` axes, and leading axes that broadcast."""
    if shape[-n_axes:] != expected[-n_axes:]:
        return False
    batches = zip(reversed(shape[:-n_axes]), reversed(expected[:-n_axes]), strict=False)
    return all(n == m or 1 in (n, m) for n, m in batches)
