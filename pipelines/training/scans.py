"""The loss of a simulated scan: the error of the image that the sampler makes of it, without symmetries."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor

from nilatron.core.measurement import mask_outside_coils
from nilatron.core.prior.edm import EDMDenoiser, estimate_complex
from nilatron.core.prior.training_scans import TrainingScan
from nilatron.core.sampling.image import ImageSettings, sample_images
from nilatron.core.sampling.unrolled import differentiable_solve, log_error
from nilatron.core.sense import SenseOperator

# trained with symmetries, the network's errors come to agree in all of them, and nothing is left to average out
SAMPLER = ImageSettings(symmetries=False, detail=0.0)


def scan_loss(model: EDMDenoiser, scan: TrainingScan, generator: np.random.Generator, device: torch.device) -> Tensor:
    """Logarithm of the relative squared error of the image (`core.sampling.unrolled.log_error`).

    Parameters
    ----------
    model
        The network that is trained; the derivative goes through all its evaluations.
    scan
        What it reconstructs.
    generator
        Of the noise on the warm start.
    """
    coil_maps, counts, data, start, truth = (tensor.to(device) for tensor in scan[:5])
    operator = SenseOperator(coil_maps, counts)
    image = sample_images(
        partial(estimate_complex, model),
        operator,
        data,
        SAMPLER.levels(),
        SAMPLER,
        start=start[None],
        sigma=scan.sigma,
        scale=scan.scale,
        generator=generator,
        solve=differentiable_solve,
    ).image[0]
    return log_error(mask_outside_coils(operator, image), truth, scan.scale)
