"""The image of the measured samples alone: S^H F^H y, what was not measured being 0."""

from __future__ import annotations

from nilatron.core.backend import Array, namespace
from nilatron.core.sense import SenseOperator


def zero_filled(operator: SenseOperator, data: Array) -> Array:
    """Image A^H (y / counts): a line acquired several times weighs no more than one acquired once.

    Parameters
    ----------
    operator
        A of the slice.
    data
        Weighted k-space (..., coil, z, y, x) as `operator.data` makes it.

    Returns
    -------
    Complex image (..., z, y, x), equal to the coil-combined image where everything was sampled.
    """
    xp = namespace(data)
    safe = xp.where(operator.counts > 0, operator.counts, xp.ones_like(operator.counts))
    return operator.adjoint(data / safe)
