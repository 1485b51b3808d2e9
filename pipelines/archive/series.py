"""Images of a run become series: one name, number, slope and window each, with the slices in their order in space.

Images whose names differ only in the mark of doubtful ones are one series, which carries the mark. Images of another making
that came in the place of a series' own (fall-backs) are a series beside it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import ismrmrd
import numpy as np
import numpy.typing as npt

from nilatron.gadgets.images import DOUBTFUL
from nilatron.pipelines.archive.acquisition import plain
from nilatron.pipelines.archive.geometry import PLACES, Plane, planes_of
from nilatron.pipelines.archive.identity import image_digest, uid
from nilatron.pipelines.archive.origin import words
from nilatron.pipelines.archive.pixels import Scaling, largest, scaling_of
from nilatron.pipelines.files.disk import npy_bytes
from nilatron.pipelines.files.outlined import rescale_slope
from nilatron.pipelines.wire.received_image import parse_attributes

UNEVEN = 0.01  # of a distance between slices: from there on they are not evenly spaced
SAME_PLACE_MM = 1e-3
NUMBER_STEP = 200  # between series that share a series index
TIMES = ("repetition", "set", "phase", "contrast", "average")  # images of other times and echoes, slowest first


@dataclass(frozen=True, eq=False)
class Gathered:
    """An image whose pixels wait in a file.

    Attributes
    ----------
    head
        `ismrmrd.ImageHeader`.
    meta
        Its metadata.
    planes
        Of its slices.
    pixels
        File with its pixels (z, y, x), in SNR units.
    brightest
        Largest magnitude of them.
    digest
        Of the image as it came.
    """

    head: Any
    meta: ismrmrd.Meta
    planes: list[Plane]
    pixels: Path
    brightest: float
    digest: str

    @property
    def is_doubtful(self) -> bool:
        """Whether it is marked so."""
        return "nilatron_doubt" in self.meta

    @property
    def name(self) -> str:
        """Series description."""
        return plain(" ".join(words(self.meta, "SeriesDescription", "Nilatron")))

    @property
    def key(self) -> tuple[int, str, int, tuple[int, ...]]:
        """What images of a series have in common: index, name without the mark, type, size (x, y)."""
        name, size = self.name.replace(DOUBTFUL, ""), tuple(int(n) for n in self.head.matrix_size[:2])
        return int(self.head.image_series_index), name, int(self.head.image_type), size

    def load(self) -> npt.NDArray[Any]:
        """Its pixels (z, y, x), which stay in the file until they are looked at."""
        found: npt.NDArray[Any] = np.load(self.pixels, mmap_mode="r", allow_pickle=False)
        return found


@dataclass(frozen=True)
class Slice:
    """One slice of an image, `z`-th in it."""

    image: Gathered
    z: int

    @property
    def plane(self) -> Plane:
        """Where it lies."""
        return self.image.planes[self.z]

    @property
    def time(self) -> tuple[int, ...]:
        """Which of the images of this place it is."""
        return tuple(int(getattr(self.image.head, name)) for name in TIMES)

    @property
    def orientation(self) -> tuple[float, ...]:
        """Its axes, rounded."""
        return tuple(np.round(self.plane.axes, 3).reshape(-1).tolist())


@dataclass(frozen=True)
class Series:
    """Slices of one series, in order.

    Attributes
    ----------
    number, name, uid
        Series number, description and identifier.
    slices
        In the order of their instance numbers, which start at 1.
    scaling
        Of all of them.
    """

    number: int
    name: str
    uid: str
    slices: tuple[Slice, ...]
    scaling: Scaling

    def instance_uid(self, place: int) -> str:
        """Identifier of the slice at a place (0, 1, ...)."""
        return uid("image", self.uid, str(place), self.slices[place].image.digest)

    def stacks(self) -> Iterator[list[int]]:
        """Places of the slices of one time and orientation, one stack after the other."""
        found: dict[Any, list[int]] = defaultdict(list)
        for place, slice_ in enumerate(self.slices):
            found[slice_.time, slice_.orientation].append(place)
        yield from found.values()

    def between_slices(self, stack: Sequence[int]) -> float | None:
        """Distance in mm of the slices of a stack; None for a single one, or where they are not evenly spaced."""
        if len(stack) > 1 and len({id(self.slices[place].image) for place in stack}) == 1:
            return float(self.slices[stack[0]].plane.spacing[2])  # of a volume
        locations = [self.slices[place].plane.location for place in stack]
        steps = [after - before for before, after in pairwise(locations)]
        if not steps or min(steps) <= 0 or max(steps) - min(steps) > UNEVEN * max(steps):
            return None
        return round(float(np.mean(steps)), PLACES)

    def n_on_others(self, stack: Sequence[int]) -> int:
        """How many slices of a stack lie where the one before them, of another number, lies already."""
        found = [self.slices[place] for place in stack]
        return sum(
            int(before.image.head.slice) != int(after.image.head.slice)
            and bool(np.abs(after.plane.first - before.plane.first).max() < SAME_PLACE_MM)
            for before, after in pairwise(found)
        )


def gather(image: ismrmrd.Image, path: Path) -> Gathered:
    """Put the pixels of an image into a file, in SNR units.

    Raises
    ------
    InputError
        When DICOM cannot hold the image.
    """
    planes, meta = planes_of(image), parse_attributes(image.attribute_string.encode())
    pixels = np.abs(image.data[0]) if image.data.dtype.kind == "c" else image.data[0]
    pixels = pixels * np.float32(rescale_slope(meta))
    path.write_bytes(npy_bytes(pixels))
    return Gathered(image.getHead(), meta, planes, path, largest(pixels), image_digest(image))


def all_series(images: Sequence[Gathered], run: str, offset: int) -> list[Series]:
    """The series of a run; their numbers are the images' series indices plus `offset`, their identifiers follow from `run`."""
    groups: dict[Any, list[Gathered]] = defaultdict(list)
    for image in images:
        groups[image.key].append(image)
    found: list[Series] = []
    n_of_index: Counter[int] = Counter()
    for key in sorted(groups, key=lambda key: (key[0], is_replacement(groups[key]), key)):
        number = offset + key[0] + NUMBER_STEP * n_of_index[key[0]]
        n_of_index[key[0]] += 1
        found.append(_series(groups[key], number, run))
    return found


def is_replacement(images: Sequence[Gathered]) -> bool:
    """Whether all of them stand in for images that could not be made."""
    return all("nilatron_fallback" in image.meta for image in images)


def _series(images: Sequence[Gathered], number: int, run: str) -> Series:
    named = next((image for image in images if image.is_doubtful), images[0])
    digests = sorted(image.digest for image in images)
    scaling = scaling_of(max(image.brightest for image in images), (image.load() for image in images))
    return Series(number, named.name, uid("series", run, str(number), *digests), tuple(in_order(images)), scaling)


def in_order(images: Sequence[Gathered]) -> list[Slice]:
    """All slices: time after time, in each one orientation after the other, in each along the slice direction."""
    slices = [Slice(image, z) for image in images for z in range(len(image.planes))]
    first: dict[tuple[float, ...], int] = {}  # which orientation comes first is told by the slice counter
    for slice_ in slices:
        index = int(slice_.image.head.slice)
        first[slice_.orientation] = min(index, first.get(slice_.orientation, index))

    def order(slice_: Slice) -> tuple[Any, ...]:
        orientation = slice_.orientation
        here = slice_.plane.location, int(slice_.image.head.slice), slice_.image.digest
        return slice_.time, first[orientation], orientation, here

    return sorted(slices, key=order)
