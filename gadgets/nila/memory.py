"""Slices of a scan that know their neighbours: which are remembered, which wait, and what each is told.

Neighbours are found by position along the normal of the slice, never by arrival, and only among images of the same volume: same
geometry, orientation, contrast, set and frame. A change of any of these begins with an empty memory.

off   nothing is remembered.
past  a slice is told of the nearest on each side among those that are there; none waits.
both  slices with even numbers go at once and are told nothing. Those with odd numbers wait until the slices of the numbers
      before and after theirs are there, at the latest until the volume ends. So no image depends on the order of arrival, and
      none passes its errors on to more than its two neighbours.

Images of an earlier scan that lie in the same volume are there from the beginning. A slice is told of them where its own scan
has none that is as near.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from nilatron.gadgets.items import KSpaceSlice
from nilatron.gadgets.nila.remembered import EarlierImage, Geometry, Remembered, geometry_of, position_mm
from nilatron.gadgets.numbering import announced

log = logging.getLogger(__name__)

MODES = ("off", "past", "both")
MAX_DISTANCE_MM = 15.0  # a slice that is farther away tells nothing
SAME_PLACE_MM = 0.01
MAX_VOLUMES = 8  # the latest; more are frames of a time series, which need no old ones


class Volume(NamedTuple):
    """What slices of one volume have in common."""

    encoding: int
    contrast: int
    phase: int
    set: int
    repetition: int
    geometry: Geometry


class Beside(NamedTuple):
    """A neighbour of a slice, with its signed distance."""

    image: Remembered
    distance_mm: float


def volume_of(item: KSpaceSlice) -> Volume:
    """The volume of a slice."""
    head, idx = item.head, item.head.idx
    counters = (int(idx.contrast), int(idx.phase), int(idx.set), int(idx.repetition))
    return Volume(int(head.encoding_space_ref), *counters, geometry_of(head, item.counts.shape))


@dataclass
class SliceMemory:
    """The memory of one scan.

    Parameters
    ----------
    mode
        One of `MODES`.
    header
        Of the scan, which may announce how many slices there are.
    earlier
        Images of an earlier scan.

    Attributes
    ----------
    strangeness_told
        Whether it has been told that the earlier scan does not fit.
    """

    mode: str = "off"
    header: Any = None
    earlier: Sequence[EarlierImage] = ()
    strangeness_told: bool = False
    images: dict[Volume, dict[int, Remembered]] = field(default_factory=dict)
    finished: dict[Volume, set[int]] = field(default_factory=dict)

    def is_ready(self, item: KSpaceSlice) -> bool:
        """Whether a slice need not wait."""
        number = int(item.head.idx.slice)
        if self.mode != "both" or number % 2 == 0:
            return True
        first, count = announced(self.header, "slice")
        expected = {beside for beside in (number - 1, number + 1) if first <= beside < first + count}
        return expected <= self.finished.get(volume_of(item), set())

    def separates(self, item: KSpaceSlice, following: KSpaceSlice) -> bool:
        """Whether a slice that waits has to go because the next one belongs to another volume."""
        return self.mode == "both" and volume_of(item) != volume_of(following)

    def neighbours(self, item: KSpaceSlice) -> list[Beside]:
        """The nearest image on each side of a slice, as far as there is one that it may be told of."""
        if self.mode == "off":
            return []
        volume, here = volume_of(item), position_mm(item.head)
        hears_nobody = self.mode == "both" and int(item.head.idx.slice) % 2 == 0
        images = [] if hears_nobody else list(self.images.get(volume, {}).values())
        images += [one.image for one in self.earlier if self._same_volume(one, volume)]
        found = [Beside(image, image.position_mm - here) for image in images]
        near = [one for one in found if SAME_PLACE_MM < abs(one.distance_mm) <= MAX_DISTANCE_MM]
        sides = [[one for one in near if (one.distance_mm > 0) == above] for above in (False, True)]
        return [min(side, key=lambda one: round(abs(one.distance_mm), 2)) for side in sides if side]

    @staticmethod
    def _same_volume(one: EarlierImage, volume: Volume) -> bool:
        return one.geometry == volume.geometry and one.contrast == volume.contrast

    def is_strange(self, item: KSpaceSlice) -> bool:
        """Whether there is an earlier scan, and none of its images lies in the volume of this slice."""
        volume = volume_of(item)
        return bool(self.earlier) and not any(self._same_volume(one, volume) for one in self.earlier)

    def finish(self, item: KSpaceSlice, image: Any | None) -> None:
        """A slice is done: remember its image (z, y, x), unless it has partitions or waits for others itself.

        None stands for one that failed or is doubtful, which no other slice should hear of.
        """
        if self.mode == "off":
            return
        volume, number = volume_of(item), int(item.head.idx.slice)
        self.finished.setdefault(volume, set()).add(number)
        if image is not None and image.shape[0] == 1 and not (self.mode == "both" and number % 2):
            magnitude = np.abs(image[0]).astype(np.float32)
            self.images.setdefault(volume, {})[number] = Remembered(number, position_mm(item.head), magnitude)
        while len(self.finished) > MAX_VOLUMES:
            oldest = next(iter(self.finished))
            del self.finished[oldest]
            self.images.pop(oldest, None)


def described(neighbours: Sequence[Beside]) -> str:
    """Neighbours in words, for the metadata of an image."""
    words = [
        f"slice {one.image.number}{'' if one.image.scale is None else ' of the earlier scan'} at {one.distance_mm:+.1f} mm"
        for one in neighbours
    ]
    return ", ".join(words) or "none"
