"""Training of the head that knows neighbouring slices, on the last step of the sampler; the denoiser stays as it is.

Runs of slices from ordered volumes are scanned together, in simulation, and each slice is reconstructed alone. The head learns
the error that is left in the magnitude of a slice from what the sampler's last step saw and from the images of its neighbours
in the run: these are reconstructions, with the errors that reconstructions have, never the truth. Steps before the last stay as
they are: the denoiser was trained through all of them, and what makes their estimates better makes the image worse. Where the
weights take a second look all these images are those after it, and the head learns what it leaves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from nilatron.core.metrics import FOREGROUND
from nilatron.core.prior.augment import bernoulli
from nilatron.core.prior.correction_training import Example, crops_of, example, rate_factor, train_step
from nilatron.core.prior.edm import EDMDenoiser
from nilatron.core.prior.errors.training import example_of
from nilatron.core.prior.lesions import LesionSettings
from nilatron.core.prior.neighbours.head import NeighbourHead, answered, head_inputs, own_channels
from nilatron.core.prior.neighbours.planes import Neighbour, neighbour_planes
from nilatron.core.prior.second_look.head import SecondLook
from nilatron.core.prior.training_scans import ScanSettings, TrainingScan, draw_scans
from nilatron.core.prior.volumes import NeighbourSettings, Volumes
from nilatron.core.sampling.image import ImageSettings

KEPT_RUNS = 50  # of which wrong neighbours are
SCALES = (0.5, 2.0)


class ScannedSlice(NamedTuple):
    """A slice that was reconstructed alone; images (y, x) of image scale 1.

    Attributes
    ----------
    own
        `own_channels` of the sampler's last step, (channel, y, x).
    magnitude, truth
        Of the image and of the object.
    lesions
        By how much lesions changed the object's magnitude.
    scale
        Image scale.
    noise, share
        Complex noise level at image scale 1, and acquired share of the samples.
    """

    own: Tensor
    magnitude: Tensor
    truth: Tensor
    lesions: Tensor
    scale: float
    noise: float
    share: float


class ScannedRun(NamedTuple):
    """Slices of one scan, and the distance from one to the next."""

    slices: Sequence[ScannedSlice]
    step_mm: float


@dataclass(frozen=True)
class NeighbourTraining:
    """How long and on what the head learns."""

    n_scans: int = 300  # of runs of slices
    steps_per_scan: int = 20
    rate: float = 2e-3  # of Adam, falling to 0 along a cosine
    batch_size: int = 16
    patch: int = 96  # side in pixels
    contrast_weight: float = 2.0  # of what lesions lack, see `core.prior.correction_training`
    views: int = 2  # of a slice, each with other neighbours
    kept: int = 3000  # latest views that are learnt from
    seed: int = 0
    scans: ScanSettings = field(
        default_factory=lambda: ScanSettings(
            lesions=LesionSettings(probability=0.5, diameter=(3.0, 20.0), contrast=(0.1, 0.8))
        )
    )
    sampler: ImageSettings = field(default_factory=ImageSettings)

    def __post_init__(self) -> None:
        """Refuse what trains nothing."""
        numbers = (self.n_scans, self.steps_per_scan, self.batch_size, self.patch, self.views, self.kept)
        if min(numbers) < 1 or self.rate <= 0:
            raise ValueError(f"expected scans, steps, a batch and a rate, got {self}")


def reconstructed(
    denoiser: EDMDenoiser,
    scan: TrainingScan,
    generator: np.random.Generator,
    settings: ImageSettings,
    look: SecondLook | None = None,
) -> ScannedSlice:
    """The slice of a scan, reconstructed without neighbours, after a second look if there is one."""
    seen, truth = example_of(denoiser, scan, generator, settings, look)
    noise, share = scan.sigma / scan.scale, float(scan.counts.mean())
    settings = settings.for_data(noise, share)
    levels = torch.tensor([settings.network_fraction * settings.levels()[-1]])
    return ScannedSlice(
        own_channels(seen.last_input, seen.last_estimate, levels)[0].clone(),
        seen.image[0].abs().clone(),
        truth[0].abs(),
        scan.lesions[0] / scan.scale,
        scan.scale,
        noise,
        share,
    )


def scanned_run(
    denoiser: EDMDenoiser,
    volumes: Volumes,
    settings: NeighbourTraining,
    number: int,
    generator: torch.Generator,
    look: SecondLook | None = None,
) -> ScannedRun:
    """A run of slices, scanned and reconstructed."""
    run, rng = volumes.draw(generator), np.random.default_rng((settings.seed, number))
    scans = draw_scans(run.images, settings.scans, generator)
    return ScannedRun([reconstructed(denoiser, scan, rng, settings.sampler, look) for scan in scans], run.step_mm)


def neighbours_of(
    run: ScannedRun, number: int, others: Sequence[ScannedRun], settings: NeighbourSettings, generator: torch.Generator
) -> list[Neighbour]:
    """Neighbours of a slice, image scale 1: the nearest on each side that is not dropped, now and then a wrong one."""
    slices, found = run.slices, []
    for side in (-1, 1):
        places = range(number + side, len(slices) if side > 0 else -1, side)
        place = next((n for n in places if not bernoulli(settings.drop_probability, generator)), None)
        if place is None:
            continue
        magnitude = slices[place].magnitude * (slices[place].scale / slices[number].scale)
        if bernoulli(settings.other_probability, generator):
            magnitude = _something_else(magnitude, others, generator)
        if bernoulli(settings.shift_probability, generator):
            moved = torch.randint(-1, 2, (2,), generator=generator).tolist()
            magnitude = magnitude.roll(tuple(moved), (-2, -1))
        factor = float((settings.gain * torch.randn((), generator=generator)).exp())
        found.append(Neighbour(magnitude * factor, abs(place - number) * run.step_mm))
    return found


def _something_else(magnitude: Tensor, others: Sequence[ScannedRun], generator: torch.Generator) -> Tensor:
    """A slice of another run, of the size and brightness of this one."""
    slices = others[int(torch.randint(0, len(others), (), generator=generator))].slices
    chosen = slices[int(torch.randint(0, len(slices), (), generator=generator))].magnitude
    resized = F.interpolate(chosen[None, None], size=magnitude.shape, mode="bilinear", antialias=True)[0, 0]
    return resized * (magnitude.mean() / resized.mean().clamp_min(1e-6))


def views_of(
    run: ScannedRun, others: Sequence[ScannedRun], settings: NeighbourSettings, n_views: int, generator: torch.Generator
) -> list[Example]:
    """The slices of a run with neighbours, so often; those left without have no place, since the head is not asked."""
    found = []
    for number, one in enumerate(run.slices):
        for _ in range(n_views):
            neighbours = neighbours_of(run, number, others, settings, generator)
            if not neighbours:
                continue
            planes = cast("Tensor", neighbour_planes(neighbours, 1.0, one.noise, one.share))
            inputs = head_inputs(one.own[None], planes[None])[0]
            found.append(example(inputs, one.magnitude, one.truth, one.lesions))
    return found


def fitted_scale(head: NeighbourHead, runs: Sequence[ScannedRun]) -> float:
    """The factor of the head's answers that leaves least of the errors, each slice relative to its own.

    Learning among neighbours that are missing, have moved or are others makes a head careful, and so does the mean of several
    heads' weights: of slices between two neighbours as they are it says too little. Within `SCALES`, since a head that has
    learnt next to nothing fits nothing; 1 where no slice has two neighbours.
    """
    fits, squares = 0.0, 0.0
    for run in runs:
        for before, one, after in zip(run.slices, run.slices[1:], run.slices[2:], strict=False):
            beside = [Neighbour(other.magnitude * (other.scale / one.scale), run.step_mm) for other in (before, after)]
            planes = cast("Tensor", neighbour_planes(beside, 1.0, one.noise, one.share))
            with torch.inference_mode():
                change = answered(head, head_inputs(one.own[None], planes[None]))[0]
            inside = one.truth > FOREGROUND
            error, change = (one.truth - one.magnitude)[inside], change[inside]
            whole = float(error.square().sum()) + 1e-8
            fits += float((error * change).sum()) / whole
            squares += float(change.square().sum()) / whole
    return min(max(fits / squares, SCALES[0]), SCALES[1]) if squares > 0 else 1.0


def scale_answers(head: NeighbourHead, factor: float) -> None:
    """Multiply what the head says."""
    with torch.no_grad():
        for part in head.last.parameters():
            part.mul_(factor)


def train_neighbours(
    denoiser: EDMDenoiser,
    volumes: Volumes,
    settings: NeighbourTraining,
    watch: Callable[[int, float, NeighbourHead], None],
    head: NeighbourHead | None = None,
    look: SecondLook | None = None,
) -> NeighbourHead:
    """The trained head, new or going on with `head`, for images after a second look if there is one.

    At the end its answers are scaled by `fitted_scale` of the last runs. `watch` is told the scans so far, by how many dB the
    error of their slices fell since, and the head.
    """
    generator = torch.Generator().manual_seed(settings.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        head = head or NeighbourHead()
    head.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(head.parameters(), lr=settings.rate, weight_decay=1e-3)
    others: list[ScannedRun] = []
    examples: list[Example] = []
    n_steps = settings.n_scans * settings.steps_per_scan
    for number in range(settings.n_scans):
        run = scanned_run(denoiser, volumes, settings, number, generator, look)
        others = [*others, run][-KEPT_RUNS:]
        examples += views_of(run, others, volumes.settings, settings.views, generator)
        examples = examples[-settings.kept :]
        losses = [(1.0, 1.0)]
        for step in range(number * settings.steps_per_scan, (number + 1) * settings.steps_per_scan if examples else 0):
            for group in optimiser.param_groups:
                group["lr"] = settings.rate * rate_factor(step, n_steps)
            crops = crops_of(examples, settings.batch_size, settings.patch, generator)
            losses.append(train_step(head, optimiser, crops, settings.contrast_weight))
        after, before = (sum(part) for part in zip(*losses, strict=True))
        if number + 1 == settings.n_scans:
            scale_answers(head, fitted_scale(head, others))
        watch(number + 1, 10 * math.log10(before / after), head)
    return head.eval()
