"""How heads learn to correct magnitudes: relative squared errors, and the contrast of lesions that is missing.

    loss = sum_r w (e - c)^2 / sum_r w e^2  +  B (sum_r p (e - c) / sum_r p^2)^2

for the error e = |truth| - |image|, the correction c, and by how much lesions changed the object, p. Squared errors alone make
faint structures fainter: where noise hides them, less is wrong on average. Weights w are higher inside lesions, and the second
term is the contrast that all of a crop's lesions lack together, in which noise averages out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from nilatron.core.metrics import FOREGROUND
from nilatron.core.prior.augment import bernoulli
from nilatron.core.prior.small_unet import CORRECTION_UNIT, SmallUNet

BACKGROUND = 0.3  # weight of the pixels outside the object
LESIONS = 10.0  # more weight of the pixels inside lesions
MARKED = 0.02  # change by lesions, relative to the tissue, from which a pixel lies inside
DARK = 0.05  # image scale; darker tissue counts as this
EASY = 0.3  # crops count relative to the squared error of their slice, those without error relative to this share of it
FAINT = 1.0  # sum of squares of lesions, image scale 1, below which their contrast counts less
WARM_UP = 100  # steps in which the rate rises


class Example(NamedTuple):
    """Inputs of a head (channel, y, x), what is wrong (y, x), its weight, lesions p, and the slice's mean squared error."""

    inputs: Tensor
    error: Tensor
    weight: Tensor
    lesions: Tensor
    squared_error: float


def example(inputs: Tensor, image: Tensor, truth: Tensor, lesions: Tensor) -> Example:
    """Example of magnitudes (y, x) of image scale 1, kept as float16."""
    error, inside = truth - image, truth > FOREGROUND
    weight = torch.where(inside, 1.0, BACKGROUND)
    squared_error = float((weight * error.square()).sum() / weight.sum()) + 1e-8
    shown = lesions * inside
    marked = shown.abs() > MARKED * truth.clamp_min(DARK)
    weight = weight * (1 + LESIONS * marked)
    return Example(inputs.half(), error.half(), weight.half(), shown.half(), squared_error)


class Crops(NamedTuple):
    """Parts of examples: inputs (batch, channel, y, x), errors, weights and lesions (batch, y, x)."""

    inputs: Tensor
    error: Tensor
    weight: Tensor
    lesions: Tensor


def crop_of(one: Example, size: int, generator: torch.Generator) -> Crops:
    """A random part of an example, flipped at random, as a batch of one; padded with zeros, which have no weight."""
    planes = torch.stack((one.error, one.weight, one.lesions)).float()
    planes[1] /= one.squared_error
    stacked = torch.cat((one.inputs.float(), planes))
    n_y, n_x = (int(n) for n in stacked.shape[-2:])
    stacked = F.pad(stacked, (0, max(0, size - n_x), 0, max(0, size - n_y)))
    y, x = (int(torch.randint(0, max(n - size, 0) + 1, (), generator=generator)) for n in (n_y, n_x))
    part = stacked[:, y : y + size, x : x + size]
    flipped = [axis for axis in (-2, -1) if bernoulli(0.5, generator)]
    part = (part.flip(flipped) if flipped else part)[None]
    return Crops(part[:, :-3], part[:, -3], part[:, -2], part[:, -1])


def crops_of(examples: Sequence[Example], n_crops: int, size: int, generator: torch.Generator) -> Crops:
    """Random crops of random examples."""
    chosen = torch.randint(0, len(examples), (n_crops,), generator=generator).tolist()
    crops = [crop_of(examples[index], size, generator) for index in chosen]
    inputs, error, weight, lesions = (torch.cat(part) for part in zip(*crops, strict=True))
    return Crops(inputs.contiguous(memory_format=torch.channels_last), error, weight, lesions)


def rate_factor(step: int, n_steps: int) -> float:
    """Rises over the first steps, then falls to 0 along a cosine."""
    return min(1, (step + 1) / WARM_UP) * (1 + math.cos(math.pi * step / n_steps)) / 2


def train_step(
    head: SmallUNet, optimiser: torch.optim.Optimizer, crops: Crops, contrast_weight: float
) -> tuple[float, float]:
    """One step; the relative squared error, and what it would be without the head.

    `contrast_weight` is B.
    """
    optimiser.zero_grad()
    left = crops.error - CORRECTION_UNIT * head(crops.inputs)
    before = (crops.weight * crops.error.square()).mean((-2, -1))
    after = (crops.weight * left.square()).mean((-2, -1))
    squared = (after / (before + EASY)).mean()
    lesions = crops.lesions
    missing = (lesions * left).sum((-2, -1)) / (lesions.square().sum((-2, -1)) + FAINT)
    (squared + contrast_weight * missing.square().mean()).backward()
    torch.nn.utils.clip_grad_norm_(head.parameters(), 1.0)
    optimiser.step()
    return float(squared.detach()), float((before / (before + EASY)).mean())
