"""Writing images as ISMRMRD HDF5 files and as pictures."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import h5py
import ismrmrd
import ismrmrd.hdf5
import numpy as np
import numpy.typing as npt

from nilatron.pipelines.files.atomic import InputError, atomic_path, open_hdf5
from nilatron.pipelines.files.careful import NewHdf5

logger = logging.getLogger(__name__)

PNG_PERCENTILE = 99.5  # percentile of the magnitude that becomes white

AnyArray = npt.NDArray[Any]


class ImageFile:
    """Writer of an ISMRMRD image file, with the layout /<group>/image_<series>/{data, header, attributes}.

    It is a context manager: the file appears under its name when the block ends without an exception; otherwise nothing is
    written and an older file stays unchanged. Other groups of an existing file are kept. Images of a series whose matrix or
    data type differs from the first ones get another group, image_<series>_2 and so on.

    Parameters
    ----------
    path, group
        File and group to write.
    overwrite
        Replace the group if the file has it; a group with raw data is never replaced.

    Raises
    ------
    InputError
        On entering the block, when the file exists and is not HDF5, or the group exists and may not be replaced.
    """

    def __init__(self, path: str | Path, group: str, *, overwrite: bool = False) -> None:
        self.path, self.group, self.overwrite = Path(path), group.strip("/"), overwrite
        if not self.group or "/" in self.group:
            raise InputError(f"an output group must be one name without '/', got {group!r}")
        self.n_images = 0

    def __enter__(self) -> ImageFile:
        if self.path.exists():
            with open_hdf5(self.path) as old:
                self._check(old)
        with ExitStack() as stack:
            temporary = stack.enter_context(atomic_path(self.path))
            self._new = stack.enter_context(NewHdf5(temporary))
            self._file = self._new.file
            if self.path.exists():
                with open_hdf5(self.path) as old:
                    for name in old:
                        if name != self.group:
                            old.copy(name, self._file)
            self._images = self._file.create_group(self.group)
            self._on_exit = stack.pop_all()
        return self

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        self._on_exit.__exit__(kind, error, traceback)

    def write(self, image: ismrmrd.Image) -> None:
        """Append one image to its series."""
        dtype = ismrmrd.hdf5.get_hdf5type(image.data_type)
        pixels = image.data.view(dtype) if dtype.names else image.data.astype(dtype, copy=False)
        series = self._series(f"image_{image.image_series_index}", pixels)
        number = series["header"].shape[0]
        for name in ("header", "attributes", "data"):
            series[name].resize(number + 1, axis=0)
        series["header"][number] = np.frombuffer(bytes(image.getHead()), ismrmrd.hdf5.image_header_dtype)[0]
        series["attributes"][number] = image.attribute_string
        series["data"][number] = pixels
        self._new.check()
        self.n_images += 1

    def _check(self, old: h5py.File) -> None:
        if self.group not in old:
            return
        found = old[self.group]
        if isinstance(found, h5py.Group) and {"xml", "data"} <= set(found):
            raise InputError(
                f"{self.path}: group {self.group!r} holds raw data and is not replaced; choose another with -G"
            )
        if not self.overwrite:
            raise InputError(
                f"{self.path}: group {self.group!r} exists; choose another with -G GROUP or replace it with --overwrite"
            )

    def _series(self, name: str, pixels: AnyArray) -> h5py.Group:
        number = 1
        candidate = name
        while candidate in self._images:
            data = self._images[candidate]["data"]
            if data.shape[1:] == pixels.shape and data.dtype == pixels.dtype:
                return self._images[candidate]
            number += 1
            candidate = f"{name}_{number}"
        if number > 1:
            logger.warning("%s: matrix or data type differs within %s; a new group %s", self.path, name, candidate)
        series = self._images.create_group(candidate)
        unlimited, one = (None, *pixels.shape), (1, *pixels.shape)
        series.create_dataset("header", (0,), ismrmrd.hdf5.image_header_dtype, maxshape=(None,), chunks=(64,))
        series.create_dataset("attributes", (0,), h5py.string_dtype(), maxshape=(None,), chunks=(64,))
        series.create_dataset("data", (0, *pixels.shape), pixels.dtype, maxshape=unlimited, chunks=one)
        return series


def write_png(image: ismrmrd.Image | AnyArray, path: str | Path) -> None:
    """Write the magnitude as an 8-bit grey picture, with a window from 0 to the 99.5th percentile.

    `image` is an `ismrmrd.Image` or an array (..., y, x); several images are arranged in a mosaic that is about square.
    Values that are not finite become black.
    """
    from PIL import Image as Picture

    values = image.data if isinstance(image, ismrmrd.Image) else np.asarray(image)
    if values.ndim < 2 or values.size == 0:
        raise ValueError(f"a picture needs an array (..., y, x) that is not empty, got shape {values.shape}")
    magnitude = np.nan_to_num(np.abs(values), nan=0.0, posinf=0.0)
    tiles = magnitude.reshape(-1, *values.shape[-2:])
    columns = int(np.ceil(np.sqrt(len(tiles))))
    rows = -(-len(tiles) // columns)
    mosaic = np.zeros((rows * columns, *tiles.shape[1:]), np.float32)
    mosaic[: len(tiles)] = tiles
    mosaic = mosaic.reshape(rows, columns, *tiles.shape[1:]).swapaxes(1, 2)
    flat = mosaic.reshape(rows * tiles.shape[1], columns * tiles.shape[2])
    white = float(np.percentile(magnitude, PNG_PERCENTILE)) or float(magnitude.max()) or 1.0
    grey = np.clip(np.rint(flat * (255 / white)), 0, 255).astype(np.uint8)
    with atomic_path(Path(path)) as temporary:
        Picture.fromarray(grey).save(temporary, format="PNG")
