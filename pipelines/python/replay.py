"""A raw file through a chain in this process, its images in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import ismrmrd
import numpy as np
import numpy.typing as npt

from nilatron.core.prior.weights import find_weights
from nilatron.gadgets.items import ScanLog
from nilatron.pipelines.files.roles import ROLES
from nilatron.pipelines.python.properties import Property, texts_of
from nilatron.pipelines.replay.scan import images_of, no_images
from nilatron.pipelines.replay.settings import ReplaySettings
from nilatron.pipelines.stream.recorded import open_scan
from nilatron.pipelines.wire.received_image import parse_attributes


@dataclass(frozen=True)
class Image:
    """One image of a scan.

    Attributes
    ----------
    pixels
        (z, y, x), in the type that the chain's property `pixel_type` names; float32 magnitudes in SNR units by default.
    role
        "main", "conventional", "uncertainty", "mean", "map", "sample" or "std"; "series N" for series of other gadgets.
    header
        `ismrmrd.ImageHeader`: geometry, indices, time stamps.
    metadata
        Texts by name, several where the name has several.
    """

    pixels: npt.NDArray[Any]
    role: str
    header: Any
    metadata: Mapping[str, str | list[str]]


@dataclass(frozen=True)
class Images(Sequence[Image]):
    """The images of a scan, in the order in which they were made.

    Attributes
    ----------
    images
        All of them.
    n_expected
        Images that the scan should have given.
    problems
        What makes an image doubtful, a fall-back or missing, as it was logged; empty where all went well.
    """

    images: tuple[Image, ...]
    n_expected: int
    problems: tuple[str, ...]

    @overload
    def __getitem__(self, place: int) -> Image: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Image]: ...
    def __getitem__(self, place: int | slice) -> Image | Sequence[Image]:
        return self.images[place]

    def __len__(self) -> int:
        return len(self.images)

    @property
    def complete(self) -> bool:
        """Whether every expected image came, and none is doubtful or a fall-back."""
        return not self.problems and len(self.images) >= self.n_expected

    def of(self, role: str = "main") -> list[Image]:
        """The images of a role, in the order of their `image_index`."""
        return sorted((one for one in self.images if one.role == role), key=lambda one: int(one.header.image_index))

    def pixels(self, role: str = "main") -> npt.NDArray[Any]:
        """Pixels (image, z, y, x) of all images of a role.

        Raises
        ------
        ValueError
            When there are none, or not all have the same size.
        """
        found = self.of(role)
        if not found:
            roles = ", ".join(sorted({one.role for one in self.images}))
            raise ValueError(f"expected images of role {role!r}, there are {roles}")
        return np.stack([one.pixels for one in found])


def replay(
    path: str | Path,
    chain: str = "nila",
    *,
    group: str = "dataset",
    noise: str | Path | None = None,
    weights: str = "default",
    seed: int = 0,
    device: str = "auto",
    **properties: Property,
) -> Images:
    """Images of an ISMRMRD raw file, as `nilatron replay` makes them, in memory.

    Parameters
    ----------
    path
        The raw file.
    chain
        Name of a shipped chain (`nilatron configs list`), or an XML file.
    group
        Group of the raw data.
    noise
        Raw file with the noise scan, in place of the scan's own.
    weights
        Of the prior: default, tiny or the path of a file.
    seed
        Of all randomness.
    device
        auto, cpu or cuda.
    **properties
        Properties of the chain's own node, over those of the XML, for example steps=12 or pixel_type="complex64".

    Returns
    -------
    The images with their headers and metadata.

    Raises
    ------
    ValueError
        For a file, a chain or properties that cannot be used; the message says what was expected and what came.
    """
    settings = ReplaySettings(
        Path(path),
        None,
        str(chain),
        group,
        properties=texts_of(properties),
        noise=None if noise is None else Path(noise),
        seed=seed,
        device=device,
        weights=find_weights(weights),
    )
    scan = ScanLog()
    with ExitStack() as stack:
        raw = stack.enter_context(open_scan(settings.raw, settings.group))
        images = tuple(_images(images_of(settings, raw, scan, stack, None)))
    if not images:
        raise no_images(scan, settings)
    return Images(images, scan.counts["images expected"], tuple(scan.problems))


def _images(made: Iterator[ismrmrd.Image]) -> Iterator[Image]:
    for image in made:
        series = int(image.image_series_index)
        metadata = dict(parse_attributes(image.attribute_string.encode()))
        yield Image(np.array(image.data[0]), ROLES.get(series, f"series {series}"), image.getHead(), metadata)
