"""The image that the sampler makes of a simulated scan, for heads that learn from its errors."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
import torch

from nilatron.core.prior.edm import EDMDenoiser, estimate_complex
from nilatron.core.prior.training_scans import TrainingScan
from nilatron.core.sampling.image import ImageSettings, sample_images
from nilatron.core.sampling.nila_fast import SamplerResult
from nilatron.core.sense import SenseOperator


class SampledScan(NamedTuple):
    """What came of a scan, the operator of its measurement, and the settings that its data asked for."""

    result: SamplerResult
    operator: SenseOperator
    settings: ImageSettings


def sampled_scan(
    denoiser: EDMDenoiser, scan: TrainingScan, generator: np.random.Generator, settings: ImageSettings
) -> SampledScan:
    """The scan, sampled as the gadget does it; nothing of it can be differentiated."""
    operator = SenseOperator(scan.coil_maps, scan.counts)
    settings = settings.for_data(scan.sigma / scan.scale, float(scan.counts.mean()))
    with torch.inference_mode():
        result = sample_images(
            partial(estimate_complex, denoiser),
            operator,
            scan.data,
            settings.levels(),
            settings,
            start=scan.start[None],
            sigma=scan.sigma,
            scale=scan.scale,
            generator=generator,
        )
    return SampledScan(result, operator, settings)
