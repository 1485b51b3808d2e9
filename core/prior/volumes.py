"""Training images in the order of their volumes: each slice with those beside it, as they are and as reconstructions show them.

A neighbour is never the truth: it is blurred, noisy, has ghosts, or lesions that this slice lacks, and now and then it shows
something else.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from nilatron.core.prior.augment import bernoulli, random_field, uniform
from nilatron.core.prior.lesions import LesionSettings, with_lesions
from nilatron.core.scale import image_scale


class Place(NamedTuple):
    """Where a training image lies: its volume, its position in it, and its image scale in the units of the volume."""

    volume: int
    position: int
    scale: float


class Stack(NamedTuple):
    """Magnitude images (slice, y, x), the image itself first, and the distance of each other one, 0 where it is absent."""

    images: Tensor
    distances_mm: tuple[float, ...]


@dataclass(frozen=True)
class NeighbourSettings:
    """Which slices are neighbours in training, and the errors that they have."""

    drop_probability: float = 0.3  # of each neighbour
    max_step: int = 4  # slices between the image and a neighbour, at most; a probability of 1 / 2 for each step more
    spacing_mm: tuple[float, float] = (2.5, 3.5)  # between two slices of a volume
    blur: float = 1.2  # pixels, largest standard deviation
    noise: float = 0.06  # largest standard deviation, relative to the image scale
    ghost_probability: float = 0.3
    ghost: float = 0.08  # largest weight of a shifted copy
    gain: float = 0.05  # standard deviation of the logarithm of a factor
    other_probability: float = 0.06  # of a neighbour that shows something else
    lesions: LesionSettings = field(
        default_factory=lambda: LesionSettings(probability=0.4, diameter=(3.0, 20.0), contrast=(0.1, 0.8))
    )

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        if self.max_step < 1:
            raise ValueError(f"max_step must be at least 1, got {self.max_step}")
        for name in ("drop_probability", "ghost_probability", "other_probability"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be from 0 to 1, got {getattr(self, name)}")
        if not 0 < self.spacing_mm[0] <= self.spacing_mm[1]:
            raise ValueError(f"spacing_mm must be a range above 0, got {list(self.spacing_mm)}")


@dataclass(frozen=True)
class Volumes:
    """Training images (y, x) of image scale 1, each with its place."""

    images: Sequence[Tensor]
    places: Sequence[Place]
    settings: NeighbourSettings

    @cached_property
    def _in_order(self) -> dict[int, list[int]]:
        """Numbers of the images of each volume, by position."""
        found = defaultdict(list)
        for number, place in enumerate(self.places):
            found[place.volume].append(number)
        return {volume: sorted(numbers, key=lambda n: self.places[n].position) for volume, numbers in found.items()}

    def draw(self, generator: torch.Generator) -> Stack:
        """One of the images with a neighbour on each side, where there is one of its size, in random order."""
        number = int(torch.randint(0, len(self.images), (), generator=generator))
        image, place, settings = self.images[number].abs().to(torch.float32), self.places[number], self.settings
        order = self._in_order[place.volume]
        at, spacing = order.index(number), uniform(*settings.spacing_mm, generator)
        images, distances = [image], []
        for side in (1, -1) if bernoulli(0.5, generator) else (-1, 1):
            step = 1
            while step < settings.max_step and bernoulli(0.5, generator):
                step += 1
            beside = at + side * step
            there = 0 <= beside < len(order) and self.images[order[beside]].shape == image.shape
            ratio = self.places[order[beside]].scale / place.scale if there else 0.0
            images.append(self.images[order[beside]].abs().to(torch.float32) * ratio if there else 0 * image)
            distances.append(step * spacing if there else 0.0)
        return Stack(torch.stack(images), tuple(distances))

    def seen(self, stack: Stack, generator: torch.Generator) -> Stack:
        """The stack with its neighbours as the network is to see them: imperfect, and dropped as often as the settings say."""
        images, distances = [stack.images[0]], []
        for image, distance in zip(stack.images[1:], stack.distances_mm, strict=True):
            dropped = not distance or bernoulli(self.settings.drop_probability, generator)
            images.append(0 * image if dropped else self._imperfect(image, generator))
            distances.append(0.0 if dropped else distance)
        return Stack(torch.stack(images), tuple(distances))

    def _imperfect(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """Magnitude image (y, x) of a neighbour as a reconstruction shows it."""
        s = self.settings
        if bernoulli(s.other_probability, generator):
            image = self._something_else(image, generator)
        image = with_lesions(image, s.lesions, generator)
        image = image * float((s.gain * torch.randn((), generator=generator)).exp())
        image = blurred(image, uniform(0.0, s.blur, generator)) if bernoulli(0.7, generator) else image
        if bernoulli(s.ghost_probability, generator):
            axis = -2 if bernoulli(0.5, generator) else -1
            shift = int(torch.randint(1, image.shape[axis], (), generator=generator))
            image = image + uniform(-s.ghost, s.ghost, generator) * image.roll(shift, axis)
        noise = blurred(torch.randn(image.shape, generator=generator), uniform(0.3, 1.5, generator))
        amplitude = uniform(0.0, s.noise, generator) * random_field((image.shape[0], image.shape[1]), generator).exp()
        return (image + amplitude * noise / noise.std().clamp_min(1e-6)).abs()

    def _something_else(self, image: Tensor, generator: torch.Generator) -> Tensor:
        """Another image of the training, of the size and brightness of this one."""
        chosen = self.images[int(torch.randint(0, len(self.images), (), generator=generator))].abs().to(torch.float32)
        resized = F.interpolate(chosen[None, None], size=image.shape, mode="bilinear", antialias=True)[0, 0]
        return resized * image_scale(image)


def blurred(image: Tensor, sigma: float) -> Tensor:
    """Real image (y, x) convolved with a Gaussian of standard deviation `sigma` in pixels."""
    y, x = (torch.fft.fftfreq(n) for n in image.shape[-2:])
    gain = torch.exp(-2 * (torch.pi * sigma) ** 2 * (y[:, None] ** 2 + x[None, :] ** 2))
    smooth: Tensor = torch.fft.ifft2(torch.fft.fft2(image) * gain).real
    return smooth
