"""CG-SENSE (Pruessmann et al., MRM 2001;46:638) with a Gaussian prior whose variance is measured.

x = argmin |A x - y|^2 / sigma^2 + |x|^2 / p^2   <=>   (A^H A + sigma^2 / p^2) x = A^H y

The expected signal p is the rms of A^H D y over the whole image, where the density compensation D keeps averages from making
the object brighter; so no parameter has to be tuned.
"""

from __future__ import annotations

from nilatron.core.backend import Array, namespace
from nilatron.core.measurement import Measurement
from nilatron.core.solvers import conjugate_gradient

_IMAGE_AXES = (-3, -2, -1)


def cg_sense(
    operator: Measurement, data: Array, *, sigma: float = 1.0, n_iterations: int = 10, tolerance: float = 1e-4
) -> Array:
    """Regularised SENSE image.

    Parameters
    ----------
    operator
        A of the slice.
    data
        Data (..., coil, k2, k1, k0) as `operator.forward` returns them; every image of a batch is solved separately.
    sigma
        Complex standard deviation of the noise in `data`: 1 for whitened data.
    n_iterations, tolerance
        The solver stops after so many iterations or at this relative residual; stopping early also regularises.

    Returns
    -------
    Complex image (..., z, y, x) in the units of the data.

    Raises
    ------
    ValueError
        When sigma is negative.
    """
    if sigma < 0:
        raise ValueError(f"sigma is a standard deviation and cannot be negative, got {sigma}")
    xp = namespace(data)
    back_projection = operator.adjoint(data)
    compensated = operator.density_compensated(data)
    variance = _signal_variance(back_projection if compensated is data else operator.adjoint(compensated))
    safe = xp.where(variance > 0, variance, xp.ones_like(variance))
    ridge = sigma**2 / safe

    def apply(x: Array) -> Array:
        return operator.normal(x) + ridge * x

    return conjugate_gradient(apply, back_projection, tolerance=tolerance, max_iterations=n_iterations).x


def _signal_variance(back_projection: Array) -> Array:
    """p^2: mean |A^H D y|^2 over all pixels, (..., 1, 1, 1)."""
    xp = namespace(back_projection)
    energy = xp.real(back_projection) ** 2 + xp.imag(back_projection) ** 2
    return xp.mean(energy, axis=_IMAGE_AXES, keepdims=True)
