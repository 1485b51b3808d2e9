"""A small network that looks at the sampler's image once more and corrects its magnitude.

    x' = u max(|x| + c, 0),        u = x / |x|

The correction c comes from what the error head is given (`core.prior.errors.head`): the image beside the conventional one and
the last step of the sampler, relative to the noise. It is trained on images whose truth is known, and errors inside small
lesions weigh more than others there: a denoiser makes faint structures fainter, and this gives them back.
"""

from __future__ import annotations

import torch
from torch import Tensor

from nilatron.core.prior.errors.head import N_INPUTS, Delivered, head_inputs
from nilatron.core.prior.small_unet import CORRECTION_UNIT, SmallUNet, SmallUNetConfig, object_slices, of_any_size


class SecondLook(SmallUNet):
    """c / CORRECTION_UNIT of each pixel from the inputs of the error head."""

    def __init__(self, config: SmallUNetConfig | None = None) -> None:
        super().__init__(N_INPUTS, config)


def looked_again(head: SecondLook, seen: Delivered, share: float = 1.0) -> Tensor:
    """Images x' (batch, y, x) of image scale 1, corrected by a share of c; unchanged far from the object."""
    part = (slice(None), *object_slices(seen.image))
    change = torch.zeros_like(seen.image.real)
    change[part] = share * CORRECTION_UNIT * of_any_size(head, head_inputs(seen.cropped(part)))
    magnitude = seen.image.abs()
    factor = (1 + change / magnitude.clamp_min(1e-6)).clamp_min(0)
    return torch.where(magnitude > 0, seen.image * factor, seen.image)
