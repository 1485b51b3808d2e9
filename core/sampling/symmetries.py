"""Symmetries of an image: at each step the network sees the image transposed, rotated or conjugated in another way.

A network denoises such views of an image slightly differently, which is an error of the network. If each step uses another
view, the errors of successive steps do not add up. This gives most of the gain of averaging over all views at no cost
(equivariant plug-and-play: Terris et al., CVPR 2024, arXiv 2312.01831).
"""

from __future__ import annotations

from itertools import cycle

from nilatron.core.backend import Array, namespace
from nilatron.core.prior.prior import ConditionedDenoiser, Estimate

# (transposed, conjugated) of each view, in the order of use
SYMMETRIES = ((False, False), (True, False), (False, True), (True, True))


def symmetric_view(image: Array, transposed: bool, conjugated: bool) -> Array:
    """View (..., y, x) or (..., x, y) of complex images (..., y, x); applied twice it gives the image again.

    The conjugated view is conj(x(-r)), whose k-space is the conjugate: the image rotated by 180 degrees with the opposite
    phase (shifted by a pixel along sides of even length).
    """
    xp = namespace(image)
    if transposed:
        image = xp.matrix_transpose(image)
    if not conjugated:
        return image
    rotated = xp.flip(image, axis=(-2, -1))
    return xp.conj(rotated) if xp.isdtype(image.dtype, "complex floating") else rotated


def with_symmetries(denoiser: ConditionedDenoiser) -> ConditionedDenoiser:
    """Denoiser for one run of the sampler: each call passes the next view to `denoiser` and transforms the result back."""
    symmetries = cycle(SYMMETRIES)

    def denoise(x: Array, sigma: float, previous_estimate: Array | None, /) -> Estimate:
        symmetry = next(symmetries)
        previous_view = None if previous_estimate is None else symmetric_view(previous_estimate, *symmetry)
        estimate = denoiser(symmetric_view(x, *symmetry), sigma, previous_view)
        variance = None if estimate.variance is None else symmetric_view(estimate.variance, *symmetry)
        return Estimate(symmetric_view(estimate.mean, *symmetry), variance)

    return denoise
