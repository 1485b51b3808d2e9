"""Training of the head that knows neighbouring slices, on the last step of the sampler; the denoiser stays as it is.

Scans of slices from ordered volumes are simulated and sampled without neighbours. The head learns to change the last estimate
so that the image which data consistency makes of it is nearer to the truth, given imperfect neighbours (teacher forcing). Steps
before the last are left alone: the denoiser was trained through all of them, and what makes their estimates better makes the
image worse.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from nilatron.core.measurement import mask_outside_coils
from nilatron.core.prior.edm import EDMDenoiser, estimate_complex
from nilatron.core.prior.neighbour_head import NeighbourHead, change_of, phase_of
from nilatron.core.prior.neighbours import Neighbour, neighbour_planes
from nilatron.core.prior.training_scans import ScanSettings, TrainingScan, draw_scan
from nilatron.core.prior.volumes import Stack, Volumes
from nilatron.core.sampling.image import ImageSettings, sample_images
from nilatron.core.sampling.unrolled import differentiable_solve, log_error
from nilatron.core.sense import SenseOperator


class LastStep(NamedTuple):
    """A scan before its last data consistency.

    Attributes
    ----------
    scan
        With truth and k-space.
    noisy, estimate
        Last input of the denoiser and its estimate, complex (1, y, x), image scale 1.
    error
        ln of the relative squared error of the image without neighbours.
    beside
        The truth of the slice and its neighbours, image scale 1.
    """

    scan: TrainingScan
    noisy: Tensor
    estimate: Tensor
    error: float
    beside: Stack


@dataclass(frozen=True)
class NeighbourTraining:
    """How long and on what the head learns."""

    n_scans: int = 400
    steps_per_scan: int = 2
    rate: float = 1e-3  # of Adam, falling to 0 along a cosine
    batch_size: int = 3  # scans in a step
    kept: int = 400  # latest scans that are learnt from
    seed: int = 0
    scans: ScanSettings = field(default_factory=ScanSettings)
    sampler: ImageSettings = field(default_factory=ImageSettings)

    def __post_init__(self) -> None:
        """Refuse what trains nothing."""
        if min(self.n_scans, self.steps_per_scan, self.batch_size, self.kept) < 1 or self.rate <= 0:
            raise ValueError(f"expected scans, steps, a batch and a rate, got {self}")


def last_step_of(
    denoiser: EDMDenoiser, scan: TrainingScan, beside: Stack, generator: np.random.Generator, settings: ImageSettings
) -> LastStep:
    """The last step of the sampler on a scan, whose slices are given in the units of its truth."""
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
        error = float(log_error(mask_outside_coils(operator, result.image[0]), scan.truth, scan.scale))
    noisy, estimate = (
        cast("Tensor", image)[0].clone() / scan.scale for image in (result.last_input, result.last_estimate)
    )
    return LastStep(scan, noisy, estimate, error, beside._replace(images=beside.images / scan.scale))


def image_of(head: NeighbourHead, last: LastStep, planes: Tensor, settings: ImageSettings) -> Tensor:
    """Image (z, y, x) of a scan whose last estimate the head changes; it can be differentiated by the head's weights."""
    scan = last.scan
    settings = settings.for_data(scan.sigma / scan.scale, float(scan.counts.mean()))
    level = settings.levels()[-1]
    change = change_of(head, last.noisy, last.estimate, settings.network_fraction * level, planes[None])
    prior_mean = (last.estimate + phase_of(last.estimate) * change)[None]
    operator = SenseOperator(scan.coil_maps, scan.counts)
    weight = (level * scan.scale / scan.sigma) ** 2
    solution = differentiable_solve(
        lambda v: v + weight * operator.normal(v),
        prior_mean + weight * operator.adjoint(scan.data) / scan.scale,
        prior_mean,
        tolerance=settings.tolerance,
        min_change=settings.min_change * level,
        max_iterations=settings.iterations,
    )
    return cast("Tensor", mask_outside_coils(operator, solution.x[0] * scan.scale))


def planes_of(stack: Stack, noise: float, share: float) -> Tensor | None:
    """Planes (plane, y, x) of a stack of image scale 1; None when all neighbours are absent."""
    pairs = zip(stack.images[1:], stack.distances_mm, strict=True)
    neighbours = [Neighbour(image, distance) for image, distance in pairs if distance]
    if not neighbours:
        return None
    planes: Tensor = neighbour_planes(neighbours, 1.0, noise, share)
    return planes


def train_neighbours(
    denoiser: EDMDenoiser,
    volumes: Volumes,
    settings: NeighbourTraining,
    watch: Callable[[int, float, NeighbourHead], None],
    head: NeighbourHead | None = None,
) -> NeighbourHead:
    """The trained head, new or going on with `head`.

    `watch` is told the scans so far, the mean gain of the images since in dB (above 0 the neighbours help), and the head.
    """
    generator = torch.Generator().manual_seed(settings.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        head = head or NeighbourHead()
    optimiser = torch.optim.Adam(head.parameters(), lr=settings.rate)
    examples: list[LastStep] = []
    for number in range(settings.n_scans):
        examples = [*examples, _example(denoiser, volumes, settings, number, generator)][-settings.kept :]
        for group in optimiser.param_groups:
            group["lr"] = settings.rate * (1 + math.cos(math.pi * number / settings.n_scans)) / 2
        gains: list[float] = []
        for _ in range(settings.steps_per_scan):
            optimiser.zero_grad()
            for index in torch.randint(0, len(examples), (settings.batch_size,), generator=generator).tolist():
                loss = _loss(head, examples[index], volumes, settings, generator)
                (loss / settings.batch_size).backward()  # type: ignore[no-untyped-call]
                gains.append(-10 / math.log(10) * float(loss.detach()))
            torch.nn.utils.clip_grad_norm_(head.parameters(), 1.0)
            optimiser.step()
        watch(number + 1, sum(gains) / len(gains), head)
    return head.eval()


def _example(
    denoiser: EDMDenoiser, volumes: Volumes, settings: NeighbourTraining, number: int, generator: torch.Generator
) -> LastStep:
    """A scan of one of the slices."""
    stack = volumes.draw(generator)
    scan = draw_scan([stack.images], settings.scans, generator)
    acquired = stack._replace(images=torch.cat((scan.truth.abs(), scan.beside)))
    rng = np.random.default_rng((settings.seed, number))
    return last_step_of(denoiser, scan, acquired, rng, settings.sampler)


def _loss(
    head: NeighbourHead, last: LastStep, volumes: Volumes, settings: NeighbourTraining, generator: torch.Generator
) -> Tensor:
    """Ln of the image's squared error relative to that without neighbours."""
    seen, scan = volumes.seen(last.beside, generator), last.scan
    planes = planes_of(seen, scan.sigma / scan.scale, float(scan.counts.mean()))
    if planes is None:
        return 0 * head.last.weight.sum()  # the head is not asked
    return log_error(image_of(head, last, planes, settings.sampler), scan.truth, scan.scale) - last.error
