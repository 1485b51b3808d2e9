"""The measurement y = A x + n as samplers and solvers see it; the noise n has variance 1 in every sample.

Images are complex (..., z, y, x) and data complex (..., coil, k2, k1, k0), which for a Cartesian scan is (..., coil, kz, ky,
kx); leading axes are a batch. Every method works with any `Measurement`: another trajectory or another model of the coils
needs only a new class.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol, TypeAlias

from nilatron.core.backend import Array, namespace

Shape3: TypeAlias = tuple[int, int, int]
DATA_AXES = (-4, -3, -2, -1)


class Measurement(Protocol):
    """A linear map A from images to data, with its adjoint: <A x, y> = <x, A^H y>."""

    @abstractmethod
    def forward(self, x: Array) -> Array:
        """A x: images to data."""

    @abstractmethod
    def adjoint(self, y: Array) -> Array:
        """A^H y: data to images."""

    def normal(self, x: Array) -> Array:
        """A^H A x: images to images."""
        return self.adjoint(self.forward(x))

    @property
    @abstractmethod
    def n_samples(self) -> int:
        """Number of measured complex samples, summed over all coils and all images of a batch."""

    @property
    @abstractmethod
    def norm_bound(self) -> Array | float:
        """Upper bound of the largest eigenvalue of A^H A: a number, or one for each image (..., 1, 1, 1)."""

    def density_compensated(self, y: Array) -> Array:
        """D y, such that A^H D y gives each k-space position weight 1, however often it was acquired.

        It is y itself if A^H y does so already.
        """
        return y

    @property
    def support(self) -> Array | None:
        """Pixels that some coil sees, boolean (..., z, y, x); None for all."""
        return None

    def coarse(self, y: Array, shape: Shape3) -> tuple[Measurement, Array] | None:
        """Measurement of images of the same field of view on a coarser grid (z, y, x), and the data that belong to it.

        None if there is no such measurement; a sampler then makes all its steps at the full resolution.
        """
        del y, shape
        return None


def chi_squared(operator: Measurement, data: Array, image: Array, sigma: float = 1.0) -> float:
    """Residual per sample, |A x - y|^2 / (M sigma^2), of a whole batch: about 1 when image, maps and noise level agree.

    Coils without any signal are no measurement and do not count among the M samples.
    """
    xp = namespace(data)
    residual = operator.forward(image) - data
    energy = float(xp.sum(xp.real(residual) ** 2 + xp.imag(residual) ** 2, dtype=xp.float64))
    alive = xp.astype(xp.any(data != 0, axis=DATA_AXES[1:]), xp.float64)
    n_samples = operator.n_samples * float(xp.mean(alive))
    return energy / (max(n_samples, 1.0) * sigma**2)


def mask_outside_coils(operator: Measurement, image: Array) -> Array:
    """The image, set to 0 where no coil has any sensitivity: nothing was measured there, the prior alone would invent it."""
    support = operator.support
    return image if support is None else image * support
