"""The correction of finished images by what neighbouring slices show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from nilatron.core.backend import Array, converted_to, to_torch
from nilatron.core.sampling.nila_fast import SamplerResult

if TYPE_CHECKING:  # torch takes seconds to import
    import torch
    from torch import Tensor

    from nilatron.core.prior.neighbours.head import NeighbourHead


LAST_SIGMA = 0.03  # the network is told of less noise in the sampler's last step: of 0.0225 to 0.026 by default


class Corrected(NamedTuple):
    """Images (batch, 1, y, x), and what was added to their magnitude (batch, 1, y, x), real; physical units."""

    images: Array
    change: Array


@dataclass(frozen=True)
class InformedByNeighbours:
    """What slices of one partition are told of their neighbours.

    Parameters
    ----------
    head
        On `device`.
    planes
        `neighbour_planes` (batch, plane, y, x) of each slice.
    """

    head: NeighbourHead
    planes: Array
    device: torch.device | str = "cpu"

    def corrected(self, result: SamplerResult, scale: float, sigma: float) -> Corrected | None:
        """The images of a sampler's result, corrected; None where its last step is not such as the head was trained on.

        Parameters
        ----------
        scale
            Image scale.
        sigma
            Complex noise level of which the network was told in the last step, image scale 1.
        """
        if sigma > LAST_SIGMA or result.last_input is None or result.last_estimate is None:
            return None
        import torch

        from nilatron.core.prior.neighbours.head import change_of
        from nilatron.core.prior.small_unet import with_magnitude_changed

        with torch.inference_mode():
            noisy, estimate = (self._planes(array) / scale for array in (result.last_input, result.last_estimate))
            planes = to_torch(self.planes).to(self.device)
            change = scale * change_of(self.head, noisy, estimate, sigma, planes)
            images = with_magnitude_changed(self._planes(result.image), change)
        return Corrected(*(converted_to(found[:, None], result.image) for found in (images, change)))

    def widening(self, images: Array) -> Array:
        """Factors of 1 and more by which the error map of images (batch, 1, y, x) grows; image scale 1."""
        import torch

        from nilatron.core.prior.neighbours.disagreement import widening

        with torch.inference_mode():
            factors = widening(self._planes(images).abs(), to_torch(self.planes).to(self.device))
        return converted_to(factors[:, None], images)

    def _planes(self, images: Array) -> Tensor:
        """Images (batch, 1, y, x) as (batch, y, x) on the device of the head."""
        return to_torch(images).to(self.device)[:, 0]
