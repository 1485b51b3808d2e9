"""Training of the head that knows neighbouring slices, on what the sampler shows the denoiser; the denoiser stays as it is.

Scans of slices from ordered volumes are simulated. At each step of the sampler the head learns to move the estimate towards the
truth, given imperfect neighbours (teacher forcing). Later scans are sampled with the head as it is by then, so that it meets
its own images (Ross et al., AISTATS 2011). Images in white noise, of which nothing was measured, teach it to draw volumes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from nilatron.core.metrics import FOREGROUND
from nilatron.core.prior.acquired import simulate_acquisition
from nilatron.core.prior.augment import bernoulli, uniform
from nilatron.core.prior.edm import EDMDenoiser, denoise_complex, estimate_complex
from nilatron.core.prior.neighbour_head import NeighbourHead, correction, head_inputs, phase_of
from nilatron.core.prior.neighbours import NO_DATA, Neighbour, neighbour_planes
from nilatron.core.prior.prior import ConditionedDenoiser, Estimate
from nilatron.core.prior.training_scans import ScanSettings, TrainingScan, draw_scan
from nilatron.core.prior.volumes import Stack, Volumes
from nilatron.core.resolution import coarse_image, value_ratio
from nilatron.core.sampling.image import ImageSettings, sample_images
from nilatron.core.sampling.neighbours import InformedByNeighbours, coarse_planes
from nilatron.core.sense import SenseOperator

BACKGROUND_WEIGHT = 0.05  # of pixels in air


class State(NamedTuple):
    """What the denoiser saw and said at one step, with the truth; complex (y, x) of image scale 1.

    Attributes
    ----------
    noisy, estimate, truth
        Input of the denoiser, its estimate D, and what it should have been.
    sigma
        Complex noise level that it was told.
    beside
        Neighbours at this resolution, as they are.
    noise, share
        As in `neighbour_planes`.
    """

    noisy: Tensor
    estimate: Tensor
    truth: Tensor
    sigma: float
    beside: Stack
    noise: float
    share: float


@dataclass(frozen=True)
class NeighbourTraining:
    """How long and on what the head learns."""

    n_scans: int = 400
    steps_per_scan: int = 20
    rate: float = 2e-3  # of Adam, falling to 0 along a cosine
    batch_size: int = 4
    patch: int = 64  # pixels
    drawn: int = 3  # images in white noise beside each scan
    drawn_sigma: tuple[float, float] = (0.1, 4.0)
    own_images_from: float = 0.25  # fraction of the scans after which half of them are sampled with the head
    kept: int = 2500  # latest states that are learnt from
    seed: int = 0
    scans: ScanSettings = field(default_factory=ScanSettings)
    sampler: ImageSettings = field(default_factory=ImageSettings)

    def __post_init__(self) -> None:
        """Refuse what trains nothing."""
        if min(self.n_scans, self.steps_per_scan, self.batch_size, self.kept) < 1 or self.patch < 8 or self.rate <= 0:
            raise ValueError(f"expected scans, steps, a batch, patches of 8 pixels or more and a rate, got {self}")


def states_of_scan(
    denoiser: EDMDenoiser,
    scan: TrainingScan,
    stack: Stack,
    generator: np.random.Generator,
    settings: ImageSettings,
    head: NeighbourHead | None = None,
    planes: Tensor | None = None,
) -> list[State]:
    """State of every step of the sampler on a scan; with `head` and `planes`, of the sampler that uses them."""
    noise, share = scan.sigma / scan.scale, float(scan.counts.mean())
    truth, beside = scan.truth / scan.scale, stack._replace(images=stack.images / scan.scale)
    shape = (1, int(truth.shape[-2]), int(truth.shape[-1]))
    states: list[State] = []

    def recorded(inner: ConditionedDenoiser) -> ConditionedDenoiser:
        def denoise(x: Tensor, sigma: float, previous: Tensor | None, /) -> Estimate:
            estimate = inner(x, sigma, previous)
            found = State(x[0, 0], estimate.mean[0, 0], truth[0], sigma, beside, noise, share)
            plane = (int(x.shape[-2]), int(x.shape[-1]))
            if plane != shape[1:]:
                coarse = coarse_image(truth, (1, *plane))[0] / value_ratio(shape, (1, *plane))
                found = found._replace(truth=coarse, beside=beside._replace(images=coarse_planes(beside.images, plane)))
            states.append(found)
            return estimate

        if head is None or planes is None:
            return denoise
        return InformedByNeighbours(head, planes[None])(denoise)

    with torch.inference_mode():
        sample_images(
            partial(estimate_complex, denoiser),
            SenseOperator(scan.coil_maps, scan.counts),
            scan.data,
            settings.levels(),
            settings,
            start=scan.start[None],
            sigma=scan.sigma,
            scale=scan.scale,
            generator=generator,
            inform=recorded,
        )
    return states


def state_of_noise(
    denoiser: EDMDenoiser, image: Tensor, beside: Stack, sigma: float, generator: torch.Generator
) -> State:
    """State of a complex image (y, x) in white noise, of which nothing was measured."""
    noise = torch.complex(*(torch.randn(image.shape, generator=generator) for _ in range(2))) / 2**0.5
    noisy = image + sigma * noise
    return State(noisy, denoise_complex(denoiser, noisy[None], sigma)[0], image, sigma, beside, *NO_DATA)


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
    """The trained head, new or going on with `head`; `watch` is told the scans so far, the mean loss since, and the head.

    The loss is the squared error relative to that without neighbours: below 1 the neighbours help.
    """
    generator = torch.Generator().manual_seed(settings.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        head = head or NeighbourHead()
    optimiser = torch.optim.Adam(head.parameters(), lr=settings.rate)
    states: list[State] = []
    for number in range(settings.n_scans):
        states = (states + _drawn(denoiser, head, volumes, settings, number, generator))[-settings.kept :]
        for group in optimiser.param_groups:
            group["lr"] = settings.rate * (1 + math.cos(math.pi * number / settings.n_scans)) / 2
        losses = []
        for _ in range(settings.steps_per_scan):
            patches: list[Patch] = []
            while len(patches) < settings.batch_size:
                chosen = states[int(torch.randint(0, len(states), (), generator=generator))]
                patch = _patch(chosen, volumes, settings.patch, generator)
                patches += [] if patch is None else [patch]
            loss = _loss(head, patches)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(head.parameters(), 1.0)
            optimiser.step()
            losses.append(float(loss.detach()))
        watch(number + 1, sum(losses) / len(losses), head)
    return head.eval()


def _drawn(
    denoiser: EDMDenoiser,
    head: NeighbourHead,
    volumes: Volumes,
    settings: NeighbourTraining,
    number: int,
    generator: torch.Generator,
) -> list[State]:
    """States of one scan and of images in noise."""
    rng = np.random.default_rng((settings.seed, number))
    stack = volumes.draw(generator)
    scan = draw_scan([stack.images], settings.scans, generator)
    acquired = stack._replace(images=torch.cat((scan.truth.abs(), scan.beside)))
    own = number >= settings.own_images_from * settings.n_scans and bernoulli(0.5, generator)
    planes = None
    if own:
        scaled = acquired._replace(images=acquired.images / scan.scale)
        planes = planes_of(volumes.seen(scaled, generator), scan.sigma / scan.scale, float(scan.counts.mean()))
    states = states_of_scan(denoiser, scan, acquired, rng, settings.sampler, head if own else None, planes)
    for _ in range(settings.drawn):
        stack = volumes.draw(generator)
        images = simulate_acquisition(stack.images, settings.scans.acquisition, settings.scans.augment, generator)
        lowest, highest = settings.drawn_sigma
        sigma = math.exp(uniform(math.log(lowest), math.log(highest), generator))
        states.append(state_of_noise(denoiser, images[0], stack._replace(images=images.abs()), sigma, generator))
    return states


class Patch(NamedTuple):
    """A random patch of a state: inputs of the head (plane, y, x), the correction that would be right, and weights (y, x)."""

    inputs: Tensor
    wanted: Tensor
    weight: Tensor


def _loss(head: NeighbourHead, patches: Sequence[Patch]) -> Tensor:
    """Squared error, relative to that of the denoiser alone in the same state; the mean over patches."""
    inputs, wanted, weight = (torch.stack(parts) for parts in zip(*patches, strict=True))
    loss: Tensor = ((correction(head, inputs) - wanted).square() * weight).sum() / len(patches)
    return loss


def _patch(state: State, volumes: Volumes, size: int, generator: torch.Generator) -> Patch | None:
    """A patch of a state with imperfect neighbours; None where all are dropped, since then the head is not asked."""
    first = [int(torch.randint(0, max(1, n - size + 1), (), generator=generator)) for n in state.truth.shape]
    turns, mirrored = int(torch.randint(0, 4, (), generator=generator)), bernoulli(0.5, generator)
    wanted = (state.truth * phase_of(state.estimate).conj()).real - state.estimate.abs()
    inside = state.truth.abs() > FOREGROUND
    unit = (wanted.square() * inside).sum() / inside.sum().clamp_min(1) + 1e-8

    def cut(image: Tensor) -> Tensor:
        part = image[..., first[0] : first[0] + size, first[1] : first[1] + size]
        part = F.pad(part, (0, size - part.shape[-1], 0, size - part.shape[-2]))  # air around smaller images
        part = torch.rot90(part, turns, dims=(-2, -1))
        return part.flip(-2) if mirrored else part

    seen = volumes.seen(state.beside._replace(images=cut(state.beside.images)), generator)
    planes = planes_of(seen, state.noise, state.share)
    if planes is None:
        return None
    level = torch.tensor([state.sigma])
    inputs = head_inputs(cut(state.noisy)[None], cut(state.estimate)[None], level, planes[None])[0]
    weight = cut(inside + BACKGROUND_WEIGHT * ~inside)
    return Patch(inputs, cut(wanted), weight / (unit * weight.sum() + 1e-8))
