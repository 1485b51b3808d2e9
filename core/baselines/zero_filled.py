"""Zero-filled reconstruction S^H F^H y: samples that were not measured are taken as 0."""

from __future__ import annotations

from nilatron.core.backend import Array
from nilatron.core.measurement import Measurement


def zero_filled(operator: Measurement, data: Array) -> Array:
    """Image A^H D y, where the density compensation D gives a line the same weight however often it was acquired.

    Parameters
    ----------
    operator
        A of the slice, or of each slice of a batch.
    data
        Data (..., coil, k2, k1, k0) as `operator.forward` returns them.

    Returns
    -------
    Complex image (..., z, y, x), equal to the coil-combined image where everything was sampled.
    """
    return operator.adjoint(operator.density_compensated(data))
