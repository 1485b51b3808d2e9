"""The symmetries of an image: the network sees another of its views at each step.

A network treats the views of an image - transposed, turned, conjugated - a little differently, which is an error of its own.
Where each step shows it another view the errors of successive steps do not add up: most of the gain of averaging over all
views, for nothing (equivariant plug-and-play: Terris et al., CVPR 2024, arXiv 2312.01831).
"""

from __future__ import annotations

from itertools import cycle

from nilatron.core.backend import Array, namespace
from nilatron.core.prior.prior import ConditionedDenoiser, Estimate

# (transposed, of conjugated k-space), one after the other
SYMMETRIES = ((False, False), (True, False), (False, True), (True, True))


def symmetric_view(image: Array, transposed: bool, conjugated: bool) -> Array:
    """A view (..., y, x) or (..., x, y) of complex images (..., y, x); the same view of it is the image again.

    Conjugated k-space is that of conj(x(-r)): the image turned by 180 degrees, of the opposite phase (shifted by a pixel
    where a side is even).
    """
    xp = namespace(image)
    if transposed:
        image = xp.matrix_transpose(image)
    if not conjugated:
        return image
    turned = xp.flip(image, axis=(-2, -1))
    return xp.conj(turned) if xp.isdtype(image.dtype, "complex floating") else turned


def with_symmetries(denoiser: ConditionedDenoiser) -> ConditionedDenoiser:
    """The denoiser of one run of the sampler: each call shows `denoiser` the next view, and gives back the image upright."""
    symmetries = cycle(SYMMETRIES)

    def denoise(x: Array, sigma: float, previous_estimate: Array | None, /) -> Estimate:
        now = next(symmetries)
        known = None if previous_estimate is None else symmetric_view(previous_estimate, *now)
        found = denoiser(symmetric_view(x, *now), sigma, known)
        variance = None if found.variance is None else symmetric_view(found.variance, *now)
        return Estimate(symmetric_view(found.mean, *now), variance)

    return denoise
