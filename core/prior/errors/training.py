"""Training of the error head on images that the sampler makes of simulated scans; the denoiser stays as it is."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from nilatron.core.measurement import mask_outside_coils
from nilatron.core.metrics import FOREGROUND
from nilatron.core.prior.edm import EDMDenoiser
from nilatron.core.prior.errors.head import Delivered, ErrorHead, gaussian_loss, ln_variance
from nilatron.core.prior.errors.model import delivered
from nilatron.core.prior.sampled_scan import sampled_scan
from nilatron.core.prior.second_look.head import SecondLook, looked_again
from nilatron.core.prior.training_scans import TrainingScan
from nilatron.core.sampling.image import ImageSettings
from nilatron.core.sampling.nila_fast import SamplerResult
from nilatron.core.sense import SenseOperator

BACKGROUND_WEIGHT = 0.05  # of pixels in air, which nobody asks about


class ErrorExample(NamedTuple):
    """An image of a simulated scan and its truth (1, y, x), complex, both of image scale 1."""

    seen: Delivered
    truth: Tensor

    @property
    def error(self) -> Tensor:
        """Of the magnitude (1, y, x)."""
        return self.seen.image.abs() - self.truth.abs()

    @property
    def inside(self) -> Tensor:
        """Pixels of the object (1, y, x), boolean."""
        return self.truth.abs() > FOREGROUND


@dataclass(frozen=True)
class HeadTraining:
    """How long and how fast the head learns."""

    steps: int = 4000
    rate: float = 2e-3  # of Adam, falling to 0 along a cosine
    batch_size: int = 4
    patch: int = 96  # pixels
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what trains nothing."""
        if self.steps < 1 or self.batch_size < 1 or self.patch < 8 or not self.rate > 0:
            raise ValueError(f"expected steps, a batch, patches of 8 pixels or more and a rate, got {self}")


def example_of(
    denoiser: EDMDenoiser,
    scan: TrainingScan,
    generator: np.random.Generator,
    settings: ImageSettings | None = None,
    look: SecondLook | None = None,
) -> ErrorExample:
    """The image that is delivered of a scan, after a second look if there is one, and what the head sees of it."""
    sampled = sampled_scan(denoiser, scan, generator, settings or ImageSettings())
    with torch.inference_mode():
        return _example(sampled.result, sampled.operator, scan, look)


def _example(
    result: SamplerResult, operator: SenseOperator, scan: TrainingScan, look: SecondLook | None
) -> ErrorExample:
    share = float(scan.counts.mean())
    seen = delivered(result, scan.start[None], scan.scale, scan.sigma, share, "cpu")
    if look is not None:
        seen = seen._replace(image=looked_again(look, seen))
    image = mask_outside_coils(operator, seen.image)
    return ErrorExample(seen._replace(image=image), scan.truth / scan.scale)


def train_head(
    head: ErrorHead,
    examples: Sequence[ErrorExample],
    settings: HeadTraining,
    watch: Callable[[int, float], None],
) -> ErrorHead:
    """The head, trained by the likelihood of the examples' errors; `watch` is told step and loss."""
    generator = torch.Generator().manual_seed(settings.seed)
    optimiser = torch.optim.Adam(head.parameters(), lr=settings.rate)
    for step in range(settings.steps):
        for group in optimiser.param_groups:
            group["lr"] = settings.rate * (1 + math.cos(math.pi * step / settings.steps)) / 2
        chosen = torch.randint(0, len(examples), (settings.batch_size,), generator=generator).tolist()
        losses = [_patch_loss(head, examples[i], settings.patch, generator) for i in chosen]
        loss = torch.stack(losses).mean()
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(head.parameters(), 1.0)
        optimiser.step()
        watch(step, float(loss.detach()))
    return head.eval()


def _patch_loss(head: ErrorHead, example: ErrorExample, size: int, generator: torch.Generator) -> Tensor:
    n_y, n_x = example.truth.shape[-2:]
    first = [int(torch.randint(0, max(1, n - size + 1), (), generator=generator)) for n in (n_y, n_x)]
    window = (slice(None), *(slice(start, start + size) for start in first))
    seen, inside = example.seen.cropped(window), example.inside[window]
    weight = inside + BACKGROUND_WEIGHT * ~inside
    # relative to the noise of the scan, so that all scans count alike
    ln_noise = 2 * seen.noise.log()[:, None, None]
    error = example.error[window] / seen.noise[:, None, None]
    return gaussian_loss(ln_variance(head, seen) - ln_noise, error, weight)
