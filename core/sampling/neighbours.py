"""The sampler's denoiser with a head that knows neighbouring slices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nilatron.core.backend import Array, converted_to, to_torch
from nilatron.core.prior.prior import ConditionedDenoiser, Estimate

if TYPE_CHECKING:  # torch takes seconds to import
    import torch
    from torch import Tensor

    from nilatron.core.prior.neighbours.head import NeighbourHead


LAST_SIGMA = 0.03  # the network is told of less noise in the last step alone: 0.0225 to 0.027 by default


@dataclass
class InformedByNeighbours:
    """Adds a head to a denoiser, for one run of the sampler: the `inform` of `sample_images`.

    Steps before the last are left as they are: a denoiser trained through the sampler has its reasons for their errors.

    Parameters
    ----------
    head
        On `device`.
    planes
        `neighbour_planes` (batch, plane, y, x) of each element; the images have one partition.
    last_change
        What the head changed in the estimate of the last step, real (batch, 1, y, x), image scale 1.
    """

    head: NeighbourHead
    planes: Array
    device: torch.device | str = "cpu"
    last_change: Tensor | None = None

    def __call__(self, denoiser: ConditionedDenoiser) -> ConditionedDenoiser:
        """Denoiser whose estimates the head corrects."""

        def denoise(x: Array, sigma: float, previous_estimate: Array | None, /) -> Estimate:
            import torch

            from nilatron.core.prior.neighbours.head import change_of, phase_of

            estimate = denoiser(x, sigma, previous_estimate)
            if sigma > LAST_SIGMA:
                return estimate
            plane = (int(x.shape[-2]), int(x.shape[-1]))
            planes = to_torch(self.planes).to(self.device)
            with torch.inference_mode():
                noisy, mean = (to_torch(image).to(self.device).reshape(-1, *plane) for image in (x, estimate.mean))
                change = change_of(self.head, noisy, mean, sigma, planes)
                self.last_change = change[:, None]
                better = (mean + phase_of(mean) * change).reshape(tuple(x.shape))
            return Estimate(converted_to(better, x), estimate.variance)

        return denoise

    def widening(self, images: Array) -> Array:
        """Factors of 1 and more by which the error map of images (batch, 1, y, x) grows; image scale 1."""
        import torch

        from nilatron.core.prior.neighbours.disagreement import widening

        with torch.inference_mode():
            magnitudes = to_torch(images).to(self.device).abs()[:, 0]
            factors = widening(magnitudes, to_torch(self.planes).to(self.device))
        return converted_to(factors[:, None], images)
