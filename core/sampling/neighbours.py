"""The sampler's denoiser with a head that knows neighbouring slices, at both resolutions of the sampler."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nilatron.core.backend import Array, converted_to, namespace, to_torch
from nilatron.core.prior.prior import ConditionedDenoiser, Estimate
from nilatron.core.resolution import coarse_image, value_ratio

if TYPE_CHECKING:  # torch takes seconds to import
    import torch
    from torch import Tensor

    from nilatron.core.prior.neighbour_head import NeighbourHead


@dataclass
class InformedByNeighbours:
    """Adds a head to a denoiser, for one run of the sampler: the `inform` of `sample_images`.

    Parameters
    ----------
    head
        On `device`.
    planes
        `neighbour_planes` (batch, plane, y, x) of each element at full resolution; the images have one partition.
    last_change
        What the head changed in the estimate of the latest step, real (batch, 1, y, x), image scale 1.
    """

    head: NeighbourHead
    planes: Array
    device: torch.device | str = "cpu"
    last_change: Tensor | None = None
    _at: dict[tuple[int, int], Tensor] = field(default_factory=dict)

    def __call__(self, denoiser: ConditionedDenoiser) -> ConditionedDenoiser:
        """Denoiser whose estimates the head corrects."""

        def denoise(x: Array, sigma: float, previous_estimate: Array | None, /) -> Estimate:
            import torch

            from nilatron.core.prior.neighbour_head import change_of, phase_of

            estimate = denoiser(x, sigma, previous_estimate)
            plane = (int(x.shape[-2]), int(x.shape[-1]))
            with torch.inference_mode():
                noisy, mean = (to_torch(image).to(self.device).reshape(-1, *plane) for image in (x, estimate.mean))
                change = change_of(self.head, noisy, mean, sigma, self._planes_at(plane))
                self.last_change = change[:, None]
                better = (mean + phase_of(mean) * change).reshape(tuple(x.shape))
            return Estimate(converted_to(better, x), estimate.variance)

        return denoise

    def _planes_at(self, plane: tuple[int, int]) -> Tensor:
        if plane not in self._at:
            same = plane == (int(self.planes.shape[-2]), int(self.planes.shape[-1]))
            planes = self.planes if same else coarse_planes(self.planes, plane)
            self._at[plane] = to_torch(planes).to(self.device)
        return self._at[plane]


def coarse_planes(planes: Array, plane: tuple[int, int]) -> Array:
    """Planes (..., y, x) at a coarser resolution (y, x), in units of the image scale; constant ones keep their value."""
    full, coarse = (1, int(planes.shape[-2]), int(planes.shape[-1])), (1, *plane)
    return namespace(planes).real(coarse_image(planes, coarse)) / value_ratio(full, coarse)
