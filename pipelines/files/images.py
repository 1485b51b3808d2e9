"""Writing images as ISMRMRD HDF5 files and as pictures."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import h5py
import ismrmrd
import ismrmrd.hdf5
import numpy as np
import numpy.typing as npt

from nilatron.core.words import counted
from nilatron.pipelines.files.atomic import InputError, atomic_path, partial_name, publish, temporary_beside
from nilatron.pipelines.files.disk import OutputError, reason_of
from nilatron.pipelines.files.hdf5.lengths import check_lengths
from nilatron.pipelines.files.hdf5.reader import open_hdf5
from nilatron.pipelines.files.hdf5.writer import Hdf5Writer
from nilatron.pipelines.files.interrupts import shielded

logger = logging.getLogger(__name__)

WHITE_PERCENTILE = 99.5  # percentile of the magnitude that becomes white

AnyArray = npt.NDArray[Any]


class ImageFile:
    """Writer of an ISMRMRD image file, with the layout /<group>/image_<series>/{data, header, attributes}.

    It is a context manager: the file appears under its name when the block ends without an exception; otherwise nothing is
    written and an older file stays unchanged. Other groups of an existing file are kept, unless it is overwritten. Images of a
    series whose matrix or data type differs from the first ones get another group, image_<series>_2 and so on. Images lie on
    the disk, not in memory, and are written whole or not at all: the room for each is reserved first.

    Parameters
    ----------
    path, group
        File and group to write.
    overwrite
        Replace the whole file if it exists; one with raw data is never replaced.

    Attributes
    ----------
    n_images
        Images that were written.
    written
        Where the file lies after the block: `path`, unless `keep_what_is_there` chose another one.

    Raises
    ------
    InputError
        On entering the block, when the file exists and is not HDF5, or may not be replaced, or has the group already.
    OutputError
        On entering the block, when the disk has no room.
    """

    def __init__(self, path: str | Path, group: str, *, overwrite: bool = False) -> None:
        self.path, self.group, self.overwrite = Path(path), group.strip("/"), overwrite
        if not self.group or "/" in self.group:
            raise InputError(f"an output group must be one name without '/', got {group!r}")
        self.n_images = 0
        self.written = self.path

    def __enter__(self) -> ImageFile:
        if self.path.exists():
            with open_hdf5(self.path) as old:
                self._check(old)
        with ExitStack() as stack:
            self._temporary = stack.enter_context(temporary_beside(self.path))
            with self._told():
                self._writer = stack.enter_context(Hdf5Writer(self._temporary))
                if self.path.exists() and not self.overwrite:
                    self._copy_groups()
                with self._writer.block(0) as file:
                    self._images = file.create_group(self.group)
            self._on_exit = stack.pop_all()
        return self

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        with self._on_exit:
            if kind is None:
                with self._told():
                    self._writer.finish()
                    publish(self._temporary, self.written)

    def write(self, image: ismrmrd.Image) -> None:
        """Append one image to its series.

        Raises
        ------
        OutputError
            When the disk has no room for it; the images before it are complete.
        """
        dtype = ismrmrd.hdf5.get_hdf5type(image.data_type)
        pixels = image.data.view(dtype) if dtype.names else image.data.astype(dtype, copy=False)
        with shielded():  # what is in the file is counted
            with self._told(), self._writer.block(pixels.nbytes + len(image.attribute_string.encode())):
                series = self._series(f"image_{image.image_series_index}", pixels)
                number = series["header"].shape[0]
                for name in ("header", "attributes", "data"):
                    series[name].resize(number + 1, axis=0)
                series["header"][number] = np.frombuffer(bytes(image.getHead()), ismrmrd.hdf5.image_header_dtype)[0]
                series["attributes"][number] = image.attribute_string
                series["data"][number] = pixels
            self.n_images += 1

    def keep_what_is_there(self) -> None:
        """Have the images written so far published at the end, in a file of their own where they would replace a complete one.

        Raises
        ------
        OutputError
            When the file is spoilt.
        """
        if not self._writer.sound:
            raise OutputError(f"{self.path}: the disk failed in the middle of an image; nothing was written")
        if self.overwrite and self.path.exists():
            self.written = partial_name(self.path)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Block whose failures to write are told as such."""
        try:
            yield
        except OSError as error:
            raise OutputError(f"{self.path}: {reason_of(error)} after {counted(self.n_images, 'image')}") from error

    def _copy_groups(self) -> None:
        with self._writer.block(self.path.stat().st_size) as file, open_hdf5(self.path) as old:
            try:
                old.visititems(self._check_lengths)
                for name in old:
                    old.copy(name, file)
            except InputError as error:
                raise InputError(f"{self.path}: {error}") from None
            except (KeyError, RuntimeError, ValueError) as error:
                raise InputError(f"{self.path}: what is in it cannot be copied: {error}") from error

    def _check_lengths(self, _: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset):
            check_lengths(item.id, self.path)

    def _check(self, old: h5py.File) -> None:
        raw = [name for name, found in old.items() if isinstance(found, h5py.Group) and {"xml", "data"} <= set(found)]
        if self.group in raw or (self.overwrite and raw):
            raise InputError(
                f"{self.path}: group {raw[0]!r} holds raw data and is not replaced; choose another file or group (-G)"
            )
        if self.group in old and not self.overwrite:
            raise InputError(
                f"{self.path}: group {self.group!r} exists; choose another with -G GROUP or replace the file with --overwrite"
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
    values = image.data if isinstance(image, ismrmrd.Image) else np.asarray(image)
    if values.ndim < 2 or values.size == 0:
        raise ValueError(f"a picture needs an array (..., y, x) that is not empty, got shape {values.shape}")
    magnitude = np.nan_to_num(np.abs(values), nan=0.0, posinf=0.0)
    grey = np.clip(np.rint(magnitude * (255 / white_of(magnitude))), 0, 255).astype(np.uint8)
    save_png(mosaic(grey.reshape(-1, *values.shape[-2:])), path)


def white_of(magnitude: AnyArray) -> float:
    """Value that becomes white: the 99.5th percentile, or the largest one where that is 0."""
    return float(np.percentile(magnitude, WHITE_PERCENTILE)) or float(magnitude.max(initial=0.0)) or 1.0


def mosaic(tiles: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Pictures (n, y, x), or (n, y, x, 3) in colours, as one that is about square."""
    n, height, width, *colours = tiles.shape
    columns = int(np.ceil(np.sqrt(n)))
    rows = -(-n // columns)
    sheet = np.zeros((rows * columns, height, width, *colours), np.uint8)
    sheet[:n] = tiles
    return (
        sheet.reshape(rows, columns, height, width, *colours)
        .swapaxes(1, 2)
        .reshape(rows * height, columns * width, *colours)
    )


def save_png(picture: npt.NDArray[np.uint8], path: str | Path) -> None:
    """Write a picture (y, x), or (y, x, 3) in colours."""
    from PIL import Image as Picture

    with atomic_path(Path(path)) as temporary:
        Picture.fromarray(picture).save(temporary, format="PNG")
