"""The model of joint estimation: data that are a product of an image and of smooth coil maps.

    y_c = P F(S_c rho),   S_c = F^H W h_c,   W(k) = (1 + a |k|^2)^-b.

Along axes that were sampled throughout (a readout) F is undone once, in the data. W leaves h_c few samples, so S_c is a product
with small matrices. One Gauss-Newton step solves (D^H D + alpha) d = D^H r + alpha (x_0 - x) for x = (rho, h), in unknowns
scaled by about the diagonal of that matrix (Jacobi), which takes about a third fewer iterations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

from nilatron.core.backend import Array, namespace, squared_norm
from nilatron.core.coils.window import Window
from nilatron.core.fft import SPATIAL_AXES, uncentred
from nilatron.core.solvers import conjugate_gradient

DATA_NORM = 100.0  # of the data that are inverted, against which alpha is a number
LEAST_WEIGHT = 1e-2  # of W: what is less along an axis is no part of the maps

Unknowns: TypeAlias = "tuple[Array, Array]"  # image (1, z, y, x), and h (coil, z, y, x), its DC at n // 2


@dataclass(frozen=True, eq=False)
class JointModel:
    """y = P F(S rho) on the small grid, DC and the image's first pixel at index 0.

    Attributes
    ----------
    data
        (coil, z, y, x), scaled; images along axes that were sampled throughout.
    counts
        P^2 (1, z, y, x), 1 on average where there are data.
    axes
        Those of `data` that are k-space.
    encoding
        F (sample, pixel) of the samples that were acquired, where `axes` is one axis: these alone are in `data` and `counts`.
    grid
        Pixels (z, y, x).
    smoothing
        W (z, y, x) of the samples of h.
    scale
        Of the data; 0 without signal.
    n_measured
        Samples with data.
    """

    data: Array
    counts: Array
    axes: tuple[int, ...]
    encoding: Array | None
    grid: tuple[int, int, int]
    smoothing: Array
    scale: float
    n_measured: int

    @classmethod
    def of(cls, window: Window, smoothness: float, order: float) -> JointModel:
        """That of the samples of a window; `smoothness` and `order` are a, for k in periods of the field of view, and b."""
        xp = namespace(window.data)
        norm = math.sqrt(squared_norm(xp.sqrt(window.counts) * window.data))
        scale = DATA_NORM / norm if norm > 0 else 0.0
        data, counts = uncentred(window.data * scale, window.whole, inverse=True), window.counts
        n_z, n_y, n_x = (int(n) for n in data.shape[1:])
        axes = tuple(axis for axis in SPATIAL_AXES if axis not in window.whole)
        encoding = None
        if len(axes) == 1:
            acquired = xp.nonzero(xp.any(counts > 0, axis=(0, *window.whole)))[0]
            data, counts = (xp.take(array, acquired, axis=axes[0]) for array in (data, counts))
            encoding = _waves(-acquired, int(window.counts.shape[axes[0]]), data)
        smoothing = _smoothing((n_z, n_y, n_x), smoothness, order, counts)
        return cls(data, counts, axes, encoding, (n_z, n_y, n_x), smoothing, scale, window.n_measured)

    @cached_property
    def synthesis(self) -> list[Array]:
        """F^H of the samples of h along z, y and x: (pixel, k)."""
        xp = namespace(self.data)
        numbers = [xp.arange(int(n), device=self.data.device) - int(n) // 2 for n in self.smoothing.shape]
        return [_waves(k, n, self.data).T for k, n in zip(numbers, self.grid, strict=True)]

    @cached_property
    def analysis(self) -> list[Array]:
        """The adjoint of each."""
        return [namespace(matrix).conj(matrix).T for matrix in self.synthesis]

    @cached_property
    def decoding(self) -> Array:
        """The adjoint of `encoding`."""
        return namespace(self.encoding).conj(self.encoding).T

    def encode(self, images: Array) -> Array:
        """The samples F of coil images."""
        if self.encoding is None:
            return uncentred(images, self.axes, inverse=False)
        return _along(self.encoding, images, self.axes[0])

    def decode(self, samples: Array) -> Array:
        """The adjoint of that."""
        if self.encoding is None:
            return uncentred(samples, self.axes, inverse=True)
        return _along(self.decoding, samples, self.axes[0])

    def start(self, width: float | None) -> Unknowns:
        """A Gaussian of this standard deviation (half fields of view) and mean square 1, or an image of 1; and maps of 0."""
        xp = namespace(self.data)
        image = xp.ones((1, *self.grid), dtype=self.smoothing.dtype, device=self.data.device)
        for axis, n in enumerate(self.grid, start=1):
            if n > 1 and width is not None:
                u = (xp.arange(n, dtype=image.dtype, device=image.device) - n // 2) / (n / 2 * width)
                image = image * xp.reshape(xp.exp(-(u**2) / 2), tuple(-1 if a == axis else 1 for a in range(4)))
        image = xp.astype(xp.fft.ifftshift(image / xp.sqrt(xp.mean(image**2))), self.data.dtype)
        n_coils = int(self.data.shape[0])
        return image, xp.zeros((n_coils, *self.smoothing.shape), dtype=image.dtype, device=image.device)

    def maps(self, weighted: Array) -> Array:
        """S of W h."""
        for axis, matrix in zip(reversed(SPATIAL_AXES), reversed(self.synthesis), strict=True):
            weighted = _along(matrix, weighted, axis)
        return weighted

    def maps_adjoint(self, images: Array) -> Array:
        """The adjoint of that."""
        for axis, matrix in zip(SPATIAL_AXES, self.analysis, strict=True):
            images = _along(matrix, images, axis)
        return images

    def kspace(self, unknowns: Unknowns) -> Array:
        """F(S rho), centred."""
        image, h = unknowns
        samples = uncentred(self.maps(self.smoothing * h) * image, SPATIAL_AXES, inverse=False)
        return namespace(samples).fft.fftshift(samples, axes=SPATIAL_AXES)

    def residual(self, unknowns: Unknowns) -> Array:
        """The data less F(S rho)."""
        image, h = unknowns
        return self.data - self.encode(self.maps(self.smoothing * h) * image)

    def misfit(self, residual: Array) -> float:
        """|P r|^2 of a residual r."""
        return squared_norm(namespace(residual).sqrt(self.counts) * residual)

    def step(
        self,
        unknowns: Unknowns,
        reference: Unknowns,
        residual: Array,
        alpha: float,
        *,
        tolerance: float,
        max_iterations: int,
    ) -> Unknowns:
        """The estimate after one Gauss-Newton step: (D^H D + alpha) d = D^H r + alpha (reference - estimate)."""
        xp = namespace(self.data)
        image, h = unknowns
        maps = self.maps(self.smoothing * h)
        image_scale, h_scale = self._scales(image, maps, alpha)
        scales = self._joined((image_scale, xp.broadcast_to(h_scale, h.shape)))
        maps, weights = maps * image_scale, self.smoothing * h_scale
        conj_image, conj_maps = xp.conj(image), xp.conj(maps)

        def adjoint(samples: Array) -> Array:
            back = self.decode(self.counts * samples)
            of_image = xp.sum(conj_maps * back, axis=0)
            return self._joined((of_image, weights * self.maps_adjoint(conj_image * back)))

        def normal(change: Array) -> Array:
            of_image, of_h = self._parts(change)
            product = self.maps(weights * of_h)
            product *= image
            product += maps * of_image
            return adjoint(self.encode(product)) + damping * change

        damping = alpha * scales**2
        towards = self._joined((reference[0] - image, reference[1] - h))
        solution = conjugate_gradient(
            normal,
            adjoint(residual) + alpha * scales * towards,
            tolerance=tolerance,
            max_iterations=max_iterations,
            n_axes=1,
        )
        of_image, of_h = self._parts(scales * solution.x)
        return image + of_image, h + of_h

    def _scales(self, image: Array, maps: Array, alpha: float) -> Unknowns:
        """1 / sqrt(diagonal) of D^H D + alpha for the image (1, z, y, x) and h (z, y, x), as if P were the same everywhere."""
        xp = namespace(self.data)
        share = self.n_measured / math.prod(self.grid)
        of_image = share * xp.sum(xp.real(maps) ** 2 + xp.imag(maps) ** 2, axis=0, keepdims=True)
        of_h = share * xp.mean(xp.real(image) ** 2 + xp.imag(image) ** 2) * self.smoothing**2
        return 1 / xp.sqrt(of_image + alpha), 1 / xp.sqrt(of_h + alpha)

    def _joined(self, unknowns: Unknowns) -> Array:
        xp = namespace(self.data)
        return xp.concat([xp.reshape(part, (-1,)) for part in unknowns])

    def _parts(self, joined: Array) -> Unknowns:
        xp = namespace(joined)
        n_pixels = math.prod(self.grid)
        h = xp.reshape(joined[n_pixels:], (self.data.shape[0], *self.smoothing.shape))
        return xp.reshape(joined[:n_pixels], (1, *self.grid)), h


def _smoothing(grid: tuple[int, int, int], smoothness: float, order: float, reference: Array) -> Array:
    """W (z, y, x) where it is more than `LEAST_WEIGHT` along an axis, its DC at n // 2."""
    xp = namespace(reference)
    reach = math.floor(math.sqrt((LEAST_WEIGHT ** (-1 / order) - 1) / smoothness))
    squares = xp.zeros((1, 1, 1), dtype=reference.dtype, device=reference.device)
    for axis, n in enumerate(grid):
        n_kept = min(n, 2 * reach + 1)
        numbers = xp.arange(n_kept, dtype=reference.dtype, device=reference.device) - n_kept // 2
        squares = squares + xp.reshape(numbers**2, tuple(-1 if a == axis else 1 for a in range(3)))
    return (1 + smoothness * squares) ** -order


def _waves(numbers: Array, n: int, reference: Array) -> Array:
    """exp(2 pi i k r / n) / sqrt(n) for the numbers k and pixels r: (k, pixel)."""
    xp = namespace(reference)
    pixels = xp.arange(n, dtype=xp.float64, device=reference.device)
    phase = 2 * math.pi / n * xp.astype(numbers, xp.float64)[:, None] * pixels[None, :]
    return xp.astype((xp.cos(phase) + 1j * xp.sin(phase)) / math.sqrt(n), reference.dtype)


def _along(matrix: Array, array: Array, axis: int) -> Array:
    """The product of a matrix with one axis of (coil, z, y, x)."""
    if matrix.shape[0] == matrix.shape[1] == 1:
        return array
    if axis == -1:
        return array @ matrix.T
    if axis == -2:
        return matrix @ array
    xp = namespace(array)
    n_coils, n_z, n_y, n_x = array.shape
    planes = matrix @ xp.reshape(array, (n_coils, n_z, n_y * n_x))
    return xp.reshape(planes, (n_coils, -1, n_y, n_x))
