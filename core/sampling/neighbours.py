"""The sampler's denoiser with a head that knows neighbouring slices, at both resolutions of the sampler."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nilatron.core.backend import Array, converted_to, namespace, to_torch
from nilatron.core.prior.prior import ConditionedDenoiser, Estimate
from nilatron.core.resolution import coarse_image, value_ratio

if TYPE_CHECKING:  # torch takes seconds to import
    import torch

    from nilatron.core.prior.neighbour_head import NeighbourHead


def informed_by_neighbours(
    denoiser: ConditionedDenoiser, head: NeighbourHead, planes: Array, device: torch.device | str = "cpu"
) -> ConditionedDenoiser:
    """Denoiser for one run of the sampler whose estimates `head` corrects.

    Parameters
    ----------
    denoiser
        Denoiser without neighbours, of images (batch, z, y, x) with one partition.
    head
        On `device`.
    planes
        `neighbour_planes` (batch, plane, y, x) of each element at full resolution.
    """
    from nilatron.core.prior.neighbour_head import corrected

    at_resolution = {tuple(map(int, planes.shape[-2:])): to_torch(planes).to(device)}

    def denoise(x: Array, sigma: float, previous_estimate: Array | None, /) -> Estimate:
        import torch

        estimate = denoiser(x, sigma, previous_estimate)
        plane = (int(x.shape[-2]), int(x.shape[-1]))
        if plane not in at_resolution:
            at_resolution[plane] = to_torch(coarse_planes(planes, plane)).to(device)
        flat = (-1, *plane)
        with torch.inference_mode():
            noisy, mean = (to_torch(image).to(device).reshape(flat) for image in (x, estimate.mean))
            better = corrected(head, noisy, mean, sigma, at_resolution[plane]).reshape(tuple(x.shape))
        return Estimate(converted_to(better, x), estimate.variance)

    return denoise


def coarse_planes(planes: Array, plane: tuple[int, int]) -> Array:
    """Planes (..., y, x) at a coarser resolution (y, x), in units of the image scale; constant ones keep their value."""
    full, coarse = (1, int(planes.shape[-2]), int(planes.shape[-1])), (1, *plane)
    return namespace(planes).real(coarse_image(planes, coarse)) / value_ratio(full, coarse)
