"""Images of an earlier scan, of which the slices of another one may be told."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from nilatron.core.scale import image_scale
from nilatron.gadgets.images import SERIES_INDEX
from nilatron.gadgets.nila.remembered import EarlierImage, Remembered, geometry_of, position_mm
from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.files.hdf5.lengths import check_lengths
from nilatron.pipelines.files.hdf5.reader import DAMAGED, open_hdf5

log = logging.getLogger(__name__)

SERIES = f"image_{SERIES_INDEX['main']}"


def earlier_images(path: Path) -> tuple[EarlierImage, ...]:
    """The images of single slices in a file that `nilatron replay` wrote, of its latest run; doubtful ones are left out.

    Raises
    ------
    InputError
        When the file is no such file, is damaged, or none of its images can be used.
    """
    with open_hdf5(path) as file:
        runs = sorted(name for name, found in file.items() if isinstance(found, h5py.Group) and SERIES in found)
        if not runs:
            raise InputError(f"{path}: expected images that nilatron has written (a group with {SERIES}), found none")
        try:
            images = tuple(_images(file[runs[-1]], path))
        except DAMAGED as error:
            raise InputError(f"{path}: {runs[-1]}: the images cannot be read: {error}") from None
    if not images:
        raise InputError(f"{path}: {runs[-1]}: expected images of slices, found volumes, doubtful images or none")
    log.info("%d images of the earlier scan %r in %s", len(images), runs[-1], path)
    return images


def _images(run: h5py.Group, path: Path) -> Iterator[EarlierImage]:
    for name, series in run.items():
        if name != SERIES and not name.startswith(f"{SERIES}_"):
            continue
        check_lengths(series["attributes"].id, path)
        rows = zip(series["header"], series["attributes"], series["data"], strict=True)
        for head, attributes, data in rows:
            told = attributes.decode("utf-8", "replace") if isinstance(attributes, bytes) else str(attributes)
            if "<name>nilatron_doubt</name>" in told or data.shape[:2] != (1, 1):
                continue
            pixels = data["real"] + 1j * data["imag"] if data.dtype.names else data
            magnitude = np.abs(pixels[0, 0]).astype(np.float32)
            image = Remembered(int(head["slice"]), position_mm(head), magnitude, image_scale(magnitude))
            yield EarlierImage(geometry_of(head, (1, *magnitude.shape)), int(head["contrast"]), image)
