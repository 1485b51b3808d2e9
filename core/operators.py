"""Linear operators and their composition; every one obeys <A x, y> = <x, A^H y>."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from nilatron.core.backend import Array, namespace
from nilatron.core.fft import SPATIAL_AXES, fft, ifft


class LinearOperator(ABC):
    """A linear map between arrays, with its adjoint."""

    @abstractmethod
    def forward(self, x: Array) -> Array:
        """Apply A: A x."""

    @abstractmethod
    def adjoint(self, y: Array) -> Array:
        """A^H y."""

    def normal(self, x: Array) -> Array:
        """A^H A x."""
        return self.adjoint(self.forward(x))

    def __matmul__(self, inner: LinearOperator) -> LinearOperator:
        """Composition: (A @ B) x = A (B x)."""
        return Composition(self, inner)


@dataclass(frozen=True)
class Composition(LinearOperator):
    """A B."""

    outer: LinearOperator
    inner: LinearOperator

    def forward(self, x: Array) -> Array:
        """Apply both: A (B x)."""
        return self.outer.forward(self.inner.forward(x))

    def adjoint(self, y: Array) -> Array:
        """B^H (A^H y)."""
        return self.inner.adjoint(self.outer.adjoint(y))


@dataclass(frozen=True)
class Fourier(LinearOperator):
    """F: the centred orthonormal transform over `axes`."""

    axes: tuple[int, ...] = SPATIAL_AXES

    def forward(self, x: Array) -> Array:
        """F x."""
        return fft(x, self.axes)

    def adjoint(self, y: Array) -> Array:
        """F^H y = F^-1 y."""
        return ifft(y, self.axes)


@dataclass(frozen=True)
class Weights(LinearOperator):
    """P: multiplication of each element by a fixed (real or complex) weight, which may broadcast."""

    weights: Array

    def forward(self, x: Array) -> Array:
        """P x."""
        return self.weights * x

    def adjoint(self, y: Array) -> Array:
        """P^H y."""
        return namespace(self.weights).conj(self.weights) * y if _is_complex(self.weights) else self.weights * y


@dataclass(frozen=True)
class Coils(LinearOperator):
    """S: an image (..., z, y, x) becomes coil images (..., coil, z, y, x)."""

    coil_maps: Array

    def forward(self, x: Array) -> Array:
        """S x."""
        return self.coil_maps * x[..., None, :, :, :]

    def adjoint(self, y: Array) -> Array:
        """sum_c conj(S_c) y_c."""
        xp = namespace(y)
        return xp.sum(xp.conj(self.coil_maps) * y, axis=-4)


def _is_complex(array: Array) -> bool:
    xp = namespace(array)
    return bool(xp.isdtype(array.dtype, "complex floating"))
