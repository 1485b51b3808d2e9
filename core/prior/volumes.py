"""Training images in the order of their volumes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from nilatron.core.prior.augment import bernoulli, uniform


class Place(NamedTuple):
    """Where a training image lies: its volume, its position in it, and its image scale in the units of the volume."""

    volume: int
    position: int
    scale: float


class Run(NamedTuple):
    """Slices (slice, y, x) at equal distances, the first of image scale 1."""

    images: Tensor
    step_mm: float


@dataclass(frozen=True)
class NeighbourSettings:
    """Which slices are scanned together, and what goes wrong between them."""

    slices: int = 5  # of a run, at most
    max_step: int = 4  # slices of the volume from one to the next, at most; a probability of 1 / 2 for each step more
    spacing_mm: tuple[float, float] = (2.5, 3.5)  # between two slices of a volume
    drop_probability: float = 0.25  # of each neighbour
    other_probability: float = 0.05  # of a neighbour that shows something else
    gain: float = 0.03  # standard deviation of the logarithm of a factor
    shift_probability: float = 0.2  # of a head that has moved by a pixel, at most, along each side

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        if self.slices < 2 or self.max_step < 1:
            raise ValueError(f"expected slices >= 2 and max_step >= 1, got {self.slices} and {self.max_step}")
        for name in ("drop_probability", "other_probability", "shift_probability"):
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
    def _in_order(self) -> list[list[int]]:
        """Numbers of the images of each volume of two slices or more, by position."""
        found = defaultdict(list)
        for number, place in enumerate(self.places):
            found[place.volume].append(number)
        return [
            sorted(numbers, key=lambda n: self.places[n].position) for numbers in found.values() if len(numbers) > 1
        ]

    def draw(self, generator: torch.Generator) -> Run:
        """Some slices of a volume; a volume is as probable as it has slices."""
        if not self._in_order:
            raise ValueError("no volume of two slices or more among the training images")
        sizes = torch.tensor([float(len(order)) for order in self._in_order])
        order = self._in_order[int(torch.multinomial(sizes, 1, generator=generator))]
        step = 1
        while step < self.settings.max_step and bernoulli(0.5, generator):
            step += 1
        step = min(step, len(order) - 1)
        first = int(torch.randint(0, len(order) - step, (), generator=generator))
        shape = self.images[order[first]].shape
        numbers = [n for n in order[first::step] if self.images[n].shape == shape][: self.settings.slices]
        scale = self.places[numbers[0]].scale
        images = [self.images[n].abs().to(torch.float32) * (self.places[n].scale / scale) for n in numbers]
        return Run(torch.stack(images), step * uniform(*self.settings.spacing_mm, generator))
