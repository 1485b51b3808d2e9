"""Measurement with several sets of coil maps, for a field of view smaller than the object (Uecker et al., MRM 2014;71:990).

A x = sum_m P F (S_m x_m),  x = (x_1, x_2, ...) behind each other along z

A pixel that holds two places of the object has an image in each set. The images of the sets are one image of more
partitions, (..., set z, y, x), for solvers and samplers, so that they are found jointly.
"""

from __future__ import annotations

from functools import cached_property

from nilatron.core.backend import Array, namespace
from nilatron.core.fft import fft, ifft, uncentred
from nilatron.core.measurement import Measurement, Shape3
from nilatron.core.resolution import coarse_maps, crop_kspace
from nilatron.core.sense import SenseOperator


class SetsOperator(Measurement):
    """A x = sqrt(counts) F sum_m S_m x_m, of one slice or volume.

    Parameters
    ----------
    coil_maps
        Complex (set, coil, z, y, x).
    counts
        How often each k-space sample was acquired, real (z, y, x); 0 where it was not.

    Raises
    ------
    ValueError
        When the shapes differ.
    """

    def __init__(self, coil_maps: Array, counts: Array) -> None:
        if coil_maps.ndim != 5:
            raise ValueError(f"expected coil maps (set, coil, z, y, x), got {tuple(coil_maps.shape)}")
        self.coil_maps = coil_maps
        self.first = SenseOperator(coil_maps[0], counts)

    @property
    def counts(self) -> Array:
        """How often each k-space sample was acquired (z, y, x)."""
        return self.first.counts

    @property
    def n_sets(self) -> int:
        """Number of map sets."""
        return int(self.coil_maps.shape[0])

    @property
    def n_samples(self) -> int:
        """Number of measured complex samples, summed over all coils."""
        return self.first.n_samples

    @cached_property
    def norm_bound(self) -> float:
        """max(counts) max_m sum_n |S_m^H S_n|, by Gershgorin; 1 for orthogonal sets."""
        xp = namespace(self.coil_maps)
        inner = xp.abs(xp.sum(xp.conj(self.coil_maps)[:, None] * self.coil_maps[None], axis=2))
        return float(xp.max(self.counts)) * float(xp.max(xp.sum(inner, axis=1)))

    @cached_property
    def support(self) -> Array:
        """Pixels (set z, y, x) where some map of the set is not 0."""
        return self._behind(namespace(self.coil_maps).any(self.coil_maps != 0, axis=1))

    def density_compensated(self, y: Array) -> Array:
        """D y = y / counts, as for one set."""
        return self.first.density_compensated(y)

    def coarse(self, y: Array, shape: Shape3) -> tuple[SetsOperator, Array]:
        """Measurement of coarse images (set z, y, x), with the maps at the nearest pixels, and the data around DC."""
        return SetsOperator(coarse_maps(self.coil_maps, shape), crop_kspace(self.counts, shape)), crop_kspace(y, shape)

    def data(self, kspace: Array) -> Array:
        """Data y = sqrt(counts) kspace of the mean k-space (coil, z, y, x)."""
        return self.first.data(kspace)

    def forward(self, x: Array) -> Array:
        """A x: images (..., set z, y, x) to weighted k-space (..., coil, z, y, x)."""
        return self.first.weights * fft(namespace(x).sum(self.coil_maps * self._apart(x), axis=-5))

    def adjoint(self, y: Array) -> Array:
        """A^H y: weighted k-space (..., coil, z, y, x) to images (..., set z, y, x)."""
        xp = namespace(y)
        back = ifft(self.first.weights * y)[..., None, :, :, :, :]
        return self._behind(xp.sum(xp.conj(self.coil_maps) * back, axis=-4))

    def normal(self, x: Array) -> Array:
        """A^H A x, with Fourier transforms along only those axes along which the sampling varies, as for one set."""
        xp = namespace(x)
        axes, _, _, counts = self.first.shifted
        if not axes:
            return self.adjoint(self.forward(x))
        maps, conj_maps = self._shifted_maps
        coils = xp.sum(maps * xp.fft.ifftshift(self._apart(x), axes=axes), axis=-5)
        coils = uncentred(uncentred(coils, axes, inverse=False) * counts, axes, inverse=True)
        images = xp.sum(conj_maps * coils[..., None, :, :, :, :], axis=-4)
        return self._behind(xp.fft.fftshift(images, axes=axes))

    def combined(self, x: Array) -> Array:
        """One image (..., z, y, x) for display: the root of the sum of squares, with the phase of the strongest set."""
        xp = namespace(x)
        images = self._apart(x)[..., 0, :, :, :]
        magnitude = xp.sqrt(xp.sum(xp.abs(images) ** 2, axis=-4, keepdims=True))
        strongest = xp.argmax(xp.abs(images), axis=-4, keepdims=True)
        one = xp.take_along_axis(images, strongest, axis=-4)
        size = xp.abs(one)
        return (magnitude * one / xp.where(size > 0, size, xp.ones_like(size)))[..., 0, :, :, :]

    @cached_property
    def _shifted_maps(self) -> tuple[Array, Array]:
        """Maps and their conjugate, DC at index 0 along the axes that are transformed."""
        xp, axes = namespace(self.coil_maps), self.first.shifted[0]
        maps = xp.fft.ifftshift(self.coil_maps, axes=axes) if axes else self.coil_maps
        return maps, xp.conj(maps)

    def _apart(self, x: Array) -> Array:
        """Images (..., set, 1, z, y, x) of (..., set z, y, x)."""
        n_z = int(self.counts.shape[0])
        if int(x.shape[-3]) != self.n_sets * n_z:
            raise ValueError(f"expected {self.n_sets} x {n_z} partitions, got images (..., z, y, x) = {tuple(x.shape)}")
        return namespace(x).reshape(x, (*x.shape[:-3], self.n_sets, 1, n_z, *x.shape[-2:]))

    def _behind(self, images: Array) -> Array:
        """Images (..., set z, y, x) of (..., set, z, y, x)."""
        shape = images.shape
        return namespace(images).reshape(images, (*shape[:-4], shape[-4] * shape[-3], *shape[-2:]))
