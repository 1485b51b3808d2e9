"""The image of the measured samples alone: S^H F^H y, what was not measured being 0."""

from __future__ import annotations

from nilatron.core.backend import Array
from nilatron.core.measurement import Measurement


def zero_filled(operator: Measurement, data: Array) -> Array:
    """Image A^H D y, D the density compensation: a line acquired several times weighs no more than one acquired once.

    Parameters
    ----------
    operator
        A of the slice, or of each slice of a batch.
    data
        (..., coil, k2, k1, k0) as A makes them.

    Returns
    -------
    Complex image (..., z, y, x), equal to the coil-combined image where everything was sampled.
    """
    return operator.adjoint(operator.density_compensated(data))
