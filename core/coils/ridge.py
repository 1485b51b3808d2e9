"""Linear models of many coils with the same unknowns, and how large those are likely to be (MacKay, Neural Comput. 1992;4:415).

    r_c = B h_c + e_c,   h ~ CN(0, t^2),   e ~ CN(0, v)

The evidence p(r | t, v) has a closed form in the eigenvalues d of B^H B,

    -log p = M log v + C sum log(1 + t^2 d / v) + (|r|^2 - sum t^2 |u^H B^H r|^2 / (v + t^2 d)) / v + const.

It weighs what the unknowns explain against what as many of them explain by chance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from nilatron.core.backend import Array, namespace, squared_norm, to_numpy

ROUNDS = 4  # between t^2 / v and v, which settle in two or three
EXACT = 1e-12  # share of the energy, below which rounding errors are what is left


@dataclass(frozen=True, eq=False)
class RidgeFit:
    """r = B h + e in the coordinates in which B^H B is diagonal.

    Attributes
    ----------
    values, vectors
        Of B^H B.
    projected
        B^H r there (unknown, coil).
    energy
        |r|^2.
    n_samples
        Of all coils.
    """

    values: Array
    vectors: Array
    projected: Array
    energy: float
    n_samples: int

    @classmethod
    def of(cls, design: Array, residual: Array) -> RidgeFit:
        """Of B (sample, unknown) and r (coil, sample)."""
        xp = namespace(design)
        adjoint = xp.conj(design.T)
        values, vectors = xp.linalg.eigh(xp.astype(adjoint @ design, xp.complex128))
        projected = xp.conj(vectors.T) @ xp.astype(adjoint @ residual.T, xp.complex128)
        return cls(
            xp.where(values > 0, values, xp.zeros_like(values)),
            vectors,
            projected,
            squared_norm(residual),
            math.prod(map(int, residual.shape)),
        )

    def likeliest(self, sizes: list[float]) -> tuple[float, float]:
        """t^2 / v of the t with the largest evidence, and by how much its logarithm is above that of no correction."""
        values = to_numpy(self.values)
        n_coils = int(self.projected.shape[1])
        powers = np.sum(np.abs(to_numpy(self.projected)) ** 2, axis=1)
        best = (0.0, 0.0)
        for size in sizes:
            noise = self.energy / self.n_samples
            for _ in range(ROUNDS):
                ratio = size**2 / noise
                left = self.energy - float(np.sum(ratio * powers / (1 + ratio * values)))
                noise = max(left, EXACT * self.energy) / self.n_samples
            gain = -self.n_samples * math.log(noise * self.n_samples / self.energy)
            gain -= n_coils * float(np.sum(np.log1p(ratio * values)))
            best = max(best, (gain, ratio))
        return best[1], best[0]

    def solution(self, ratio: float) -> Array:
        """The h (unknown, coil) of a t^2 / v, complex64."""
        xp = namespace(self.values)
        found = self.vectors @ ((ratio / (1 + ratio * self.values))[:, None] * self.projected)
        return xp.astype(found, xp.complex64)
