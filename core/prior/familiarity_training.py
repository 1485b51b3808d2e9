"""Training of the network that tells whether an image is familiar, from magnitudes of the known kind alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from nilatron.core.prior.augment import bernoulli, random_field, uniform
from nilatron.core.prior.familiarity import Familiarity, FamiliarityNetwork, picture_of
from nilatron.core.prior.outliers import SIDE, outlier
from nilatron.core.scale import image_scale

N_KEPT = 4000  # latest pictures from which batches are drawn


@dataclass(frozen=True)
class FamiliarityTraining:
    """How long it learns, and what it may get wrong.

    Attributes
    ----------
    steps, rate, batch_size
        Of Adam, falling to 0 along a cosine.
    fresh
        Pictures of both kinds that are drawn in each step; the rest of a batch are earlier ones.
    false_alarms
        Share of the images that are left out of training which the threshold may call unfamiliar.
    left_out
        Every so manieth image, to set the threshold.
    presentations
        Of every image that is left out.
    seed
        Of everything random.
    """

    steps: int = 2000
    rate: float = 2e-3
    batch_size: int = 64
    fresh: int = 8
    false_alarms: float = 0.005
    left_out: int = 10
    presentations: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what trains nothing."""
        counts = (self.steps, self.batch_size, self.fresh, self.presentations)
        if min(counts) < 1 or self.left_out < 2 or not self.rate > 0 or not 0 < self.false_alarms < 1:
            raise ValueError(f"expected steps, batches, a rate and a share of false alarms, got {self}")


def train_familiarity(
    images: Sequence[Tensor], settings: FamiliarityTraining, watch: Callable[[int, float], None]
) -> Familiarity:
    """The trained network with its threshold; `images` (y, x) are magnitudes or complex, of image scale 1."""
    generator = torch.Generator().manual_seed(settings.seed)
    order = torch.randperm(len(images), generator=generator).tolist()
    kept = [images[i] for place, i in enumerate(order) if place % settings.left_out]
    left_out = [images[i] for place, i in enumerate(order) if not place % settings.left_out]
    if not kept or not left_out:
        raise ValueError(f"{len(images)} images are too few: some have to be left out of training")
    torch.manual_seed(settings.seed)
    network = FamiliarityNetwork()
    optimiser = torch.optim.Adam(network.parameters(), lr=settings.rate)
    pictures: list[tuple[Tensor, float]] = []
    for step in range(settings.steps):
        for group in optimiser.param_groups:
            group["lr"] = settings.rate * (1 + math.cos(math.pi * step / settings.steps)) / 2
        for _ in range(settings.fresh):
            pictures += _pair(kept, generator)
        pictures = pictures[-N_KEPT:]
        chosen = torch.randint(0, len(pictures), (settings.batch_size,), generator=generator).tolist()
        batch = torch.stack([pictures[i][0] for i in chosen])
        batch = batch.flip(-2) if bernoulli(0.5, generator) else batch
        loss = F.binary_cross_entropy_with_logits(network(batch), torch.tensor([pictures[i][1] for i in chosen]))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        watch(step, float(loss.detach()))
    return _with_threshold(network.eval().requires_grad_(False), left_out, settings, generator)


def _pair(images: Sequence[Tensor], generator: torch.Generator) -> list[tuple[Tensor, float]]:
    """A picture of the known kind (0) and one of something else (1)."""

    def drawn() -> Tensor:
        return presented(images[int(torch.randint(0, len(images), (), generator=generator))], generator)

    square = F.interpolate(drawn()[None, None], size=(SIDE, SIDE), mode="bilinear", antialias=True)[0, 0]
    other = outlier(square, generator)
    return [(picture_of(degraded(image, generator)[None])[0], label) for image, label in ((drawn(), 0.0), (other, 1.0))]


def presented(image: Tensor, generator: torch.Generator) -> Tensor:
    """Magnitude (y, x) in a random field of view and orientation."""
    magnitude = image.abs().to(torch.float32)
    magnitude = torch.rot90(magnitude, int(torch.randint(0, 4, (), generator=generator)))
    magnitude = magnitude.flip(-2) if bernoulli(0.5, generator) else magnitude
    share = uniform(0.0, 0.15, generator)
    air = [round(n * share) for n in magnitude.shape]
    return F.pad(magnitude, (air[1], air[1], air[0], air[0]))


def degraded(image: Tensor, generator: torch.Generator) -> Tensor:
    """The image (y, x) at another size, contrast, shading, sharpness and noise, of image scale 1."""
    side = uniform(80, 230, generator) / max(image.shape)
    size = [max(72, round(n * side)) for n in image.shape]
    image = F.interpolate(image[None, None], size=size, mode="bilinear", antialias=True)[0, 0].clamp_min(0)
    shape = (image.shape[0], image.shape[1])
    if bernoulli(0.5, generator):
        image = image ** uniform(0.7, 1.4, generator)
    if bernoulli(0.6, generator):
        image = image * (0.35 * random_field(shape, generator, (2, 5))).exp()
    if bernoulli(0.6, generator):
        image = _blurred(image, uniform(0.3, 1.2, generator))
    if bernoulli(0.6, generator):
        level = math.exp(uniform(math.log(0.003), math.log(0.04), generator))
        noise = level * torch.randn(2, *shape, generator=generator)
        image = torch.hypot(image + noise[0], noise[1])
    return image / max(image_scale(image), 1e-6)


def _blurred(image: Tensor, width: float) -> Tensor:
    kernel = torch.exp(-0.5 * (torch.arange(-3, 4) / width) ** 2)
    kernel = kernel / kernel.sum()
    rows = F.conv2d(image[None, None], kernel.view(1, 1, -1, 1), padding=(3, 0))
    return F.conv2d(rows, kernel.view(1, 1, 1, -1), padding=(0, 3))[0, 0]


def _with_threshold(
    network: FamiliarityNetwork, images: Sequence[Tensor], settings: FamiliarityTraining, generator: torch.Generator
) -> Familiarity:
    """The network with the score that few of the images exceed."""
    with torch.inference_mode():
        scores = torch.cat(
            [
                network(picture_of(degraded(presented(image, generator), generator)[None]))
                for image in images
                for _ in range(settings.presentations)
            ]
        )
    threshold = float(torch.quantile(scores, 1 - settings.false_alarms))
    return Familiarity(network, threshold, float((scores > threshold).float().mean()))
