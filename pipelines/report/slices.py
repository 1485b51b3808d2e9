"""What an image file holds, slice by slice; pixels are read one slice at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import numpy.typing as npt

from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.files.hdf5.lengths import check_lengths
from nilatron.pipelines.files.hdf5.reader import open_hdf5
from nilatron.pipelines.files.outlined import snr_pixels
from nilatron.pipelines.files.roles import INDICES, ROLES, slice_of
from nilatron.pipelines.wire.received_image import parse_attributes


class Place(NamedTuple):
    """Where an image lies in the file: group of the series, row, and number of the image within its series."""

    group: str
    row: int
    number: int


@dataclass
class SliceImages:
    """The images of one slice.

    Attributes
    ----------
    key
        Its indices, in the order of `INDICES`.
    places
        Where its images lie, by role.
    metadata
        Those of the images, by role.
    """

    key: tuple[int, ...]
    places: dict[str, Place] = field(default_factory=dict)
    metadata: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The slice in words."""
        named = zip(INDICES, self.key, strict=True)
        return ", ".join(f"{name} {value}" for name, value in named if name == "slice" or value)

    def fact(self, name: str, role: str = "main") -> str:
        """What an image says about itself; empty if nothing."""
        value = self.metadata.get(role, {}).get(f"nilatron_{name}", "")
        return value if isinstance(value, str) else "; ".join(map(str, value))

    @property
    def remarks(self) -> list[str]:
        """Why an image is not what was wanted, and warnings."""
        found = []
        for role in self.metadata:
            for name, words in (
                ("fallback", "fall-back"),
                ("doubt", f"doubtful {role} image"),
                ("shortened", "shortened"),
            ):
                if reason := self.fact(name, role):
                    found.append(f"{words}: {reason}")
        return list(dict.fromkeys(found))


class ImageGroup:
    """Images of one group of an ISMRMRD image file; a context manager.

    Raises
    ------
    InputError
        When the file has no such group.
    """

    def __init__(self, path: Path, group: str) -> None:
        self._file = open_hdf5(path)
        if not isinstance(self._file.get(group), h5py.Group):
            self._file.close()
            raise InputError(f"{path}: no group {group!r}")
        self._group = self._file[group]

    def __enter__(self) -> ImageGroup:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def slices(self) -> list[SliceImages]:
        """All slices, in the order of their indices; images of unknown series count as main ones."""
        found: dict[tuple[int, ...], SliceImages] = {}
        for name, row, head, text in self._heads():
            key = slice_of(head)
            role = ROLES.get(int(head["image_series_index"]), "main")
            one = found.setdefault(key, SliceImages(key))
            if role not in one.places:
                one.places[role] = Place(name, row, int(head["image_index"]))
                one.metadata[role] = parse_attributes(text)
        return [found[key] for key in sorted(found)]

    def _heads(self) -> Iterator[tuple[str, int, Any, bytes]]:
        for name, series in self._group.items():
            check_lengths(series["attributes"].id, Path(self._file.filename))
            rows = zip(series["header"][:], series["attributes"][:], strict=True)
            for row, (head, text) in enumerate(rows):
                yield name, row, head, text if isinstance(text, bytes) else str(text).encode()

    def pixels(self, one: SliceImages, role: str) -> npt.NDArray[np.float32]:
        """Magnitudes (z, y, x) of an image in SNR units, of its first channel."""
        place = one.places[role]
        return snr_pixels(self._group[place.group]["data"][place.row][0], one.metadata[role])
