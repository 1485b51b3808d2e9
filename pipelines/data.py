"""Raw files in, images out: ISMRMRD HDF5 in bounded memory, and files that appear whole or not at all."""

from __future__ import annotations

import dataclasses
import logging
import os
import re
import secrets
import types
import typing
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from enum import Enum
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ParseError

import h5py
import ismrmrd
import ismrmrd.hdf5
import ismrmrd.xsd
import numpy as np
import numpy.typing as npt
from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring
from PIL import Image as Picture

from nilatron.core.errors import BadInputError

logger = logging.getLogger(__name__)

BLOCK_BYTES = 16 * 2**20  # of samples in memory at a time
BLOCK_LINES = 512
PNG_PERCENTILE = 99.5  # of the magnitude is white
CARTESIAN = ("cartesian", "epi")

AnyArray = npt.NDArray[Any]


class InputError(BadInputError):
    """A file or a setting of the user's that cannot be used: what was expected, what came, what to do."""


# --- header ----------------------------------------------------------------------------------------------------------


def parse_header(xml: bytes | str) -> Any:
    """Parse an ISMRMRD header as far as it can be understood.

    Unknown elements and values that do not convert are left out (and logged), name spaces are ignored, what is missing
    is None; an encoding without them gets its reconSpace from its encodedSpace, and empty encodingLimits.

    Returns
    -------
    `ismrmrd.xsd.ismrmrdHeader`

    Raises
    ------
    InputError
        When it is not XML, holds no encoding, or an encoding has no usable matrix or is not Cartesian.
    """
    data = (xml.encode() if isinstance(xml, str) else bytes(xml)).rstrip(b"\0 \r\n\t")
    try:
        root = _root(data)
    except (ParseError, DefusedXmlException, LookupError) as error:
        raise InputError(
            f"the ISMRMRD header is not XML that can be read: {error}; it begins with {data[:40]!r}"
        ) from None
    header = _fill(ismrmrd.xsd.ismrmrdHeader, root)
    if not header.encoding:
        raise InputError(
            f"the ISMRMRD header (<{_name(root)}>) has no <encoding>: matrix size and field of view are unknown, "
            "so nothing can be reconstructed"
        )
    for number, encoding in enumerate(header.encoding):
        _check_encoding(encoding, number)
    return header


def _root(data: bytes) -> Element:
    try:
        root: Element = fromstring(data)
    except ParseError:
        # names of people and places are often not in the character set that the document declares
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            text = data.decode("latin-1")
        root = fromstring(re.sub(r"^\s*<\?xml[^>]*\?>", "", text))
    return root


def _check_encoding(encoding: Any, number: int) -> None:
    space = encoding.encodedSpace
    for kind, unit in (("matrixSize", "pixels"), ("fieldOfView_mm", "mm")):
        size = getattr(space, kind, None)
        values = [getattr(size, axis, None) for axis in "xyz"]
        if not all(value is not None and 0 < value < np.inf for value in values):
            raise InputError(
                f"encoding {number} of the ISMRMRD header: encodedSpace/{kind} must be three positive numbers "
                f"({unit}), got x, y, z = {', '.join(map(str, values))}"
            )
    if encoding.reconSpace is None or None in (encoding.reconSpace.matrixSize, encoding.reconSpace.fieldOfView_mm):
        logger.warning("encoding %d has no complete reconSpace; its encodedSpace is taken", number)
        encoding.reconSpace = space
    if encoding.encodingLimits is None:
        encoding.encodingLimits = ismrmrd.xsd.encodingLimitsType()
    trajectory = getattr(encoding.trajectory, "value", "cartesian")
    if trajectory not in CARTESIAN:
        raise InputError(
            f"encoding {number} of the ISMRMRD header has a {trajectory} trajectory; "
            "only Cartesian sampling (cartesian, epi) can be reconstructed"
        )


def _name(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _fill(kind: type[Any], element: Element) -> Any:
    """Make the dataclass `kind` from an element's children."""
    hints = typing.get_type_hints(kind)
    values: dict[str, Any] = {}
    for entry in dataclasses.fields(kind):
        repeated, inner = _inner(hints[entry.name])
        children = [child for child in element if _name(child) == entry.name]
        found = [value for value in (_convert(inner, child) for child in children) if value is not None]
        values[entry.name] = found if repeated else (found[-1] if found else None)
    unknown = {_name(child) for child in element} - values.keys()
    if unknown:
        logger.info("ISMRMRD header: unknown in <%s>: %s", _name(element), ", ".join(sorted(unknown)))
    return kind(**values)


def _inner(hint: Any) -> tuple[bool, Any]:
    """Whether a field repeats, and the type of one value: list[T] -> T, None | T -> T."""
    if typing.get_origin(hint) is list:
        return True, typing.get_args(hint)[0]
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        return False, next(arg for arg in typing.get_args(hint) if arg is not type(None))
    return False, hint


def _convert(kind: Any, element: Element) -> Any:
    if dataclasses.is_dataclass(kind):
        return _fill(typing.cast("type[Any]", kind), element)
    text = (element.text or "").strip()
    try:
        if kind is int:
            return int(float(text)) if not text.lstrip("+-").isdigit() else int(text)
        if kind is bytes:
            return text.encode()
        if isinstance(kind, type) and issubclass(kind, Enum):
            return next(member for member in kind if member.value.lower() == text.lower())
        return kind.from_string(text) if hasattr(kind, "from_string") else kind(text)
    except (ValueError, OverflowError, StopIteration):
        logger.warning("ISMRMRD header: <%s> cannot be %r; it is ignored", _name(element), text)
        return None


# --- raw files -------------------------------------------------------------------------------------------------------


def open_raw(path: str | Path, group: str = "dataset") -> RawFile:
    """Open an ISMRMRD raw file for reading; a context manager.

    Raises
    ------
    InputError
        When the file is missing, truncated or not HDF5, lacks the group, its data or its header, or
        `parse_header` refuses.
    """
    path = Path(path)
    return RawFile(path, _open_hdf5(path), group)


class RawFile:
    """An open ISMRMRD raw file.

    Attributes
    ----------
    header
        Parsed by `parse_header`.
    header_bytes
        As stored.
    n_acquisitions
        Number of lines, noise scan included.
    """

    def __init__(self, path: Path, file: h5py.File, group: str) -> None:
        self.path, self._file = path, file
        try:
            self._group = self._find(group)
            self.header_bytes = _as_bytes(self._group["xml"][()])
            self.header = parse_header(self.header_bytes)
            self.n_acquisitions = int(self._group["data"].shape[0])
        except InputError as error:
            file.close()
            raise InputError(f"{path}: {error}") from None
        except (OSError, KeyError, IndexError) as error:
            file.close()
            raise InputError(f"{path}: the raw data group {group!r} cannot be read: {error}") from error

    def __enter__(self) -> RawFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def items(self) -> Iterator[ismrmrd.Acquisition | ismrmrd.Waveform]:
        """Lines in file order, each waveform in front of the first line that is not older.

        Raises
        ------
        InputError
            When a line cannot be read, holds samples that are not finite, or its number of channels is not that of the
            first line. The message has the line's number.
        """
        waveforms = self._waveforms()
        waiting = next(waveforms, None)
        for acquisition in self._acquisitions():
            while waiting is not None and waiting.time_stamp <= acquisition.acquisition_time_stamp:
                yield waiting
                waiting = next(waveforms, None)
            yield acquisition
        while waiting is not None:
            yield waiting
            waiting = next(waveforms, None)

    def _find(self, name: str) -> h5py.Group:
        found = self._file.get(name)
        if not isinstance(found, h5py.Group):
            there = (
                ", ".join(sorted(key for key in self._file if isinstance(self._file.get(key), h5py.Group))) or "none"
            )
            raise InputError(f"no group {name!r} in this file; groups that exist: {there}. Choose one with -g GROUP")
        for part in ("xml", "data"):
            if not isinstance(found.get(part), h5py.Dataset):
                raise InputError(
                    f"group {name!r} holds no {part!r} (it holds: {', '.join(found) or 'nothing'}), "
                    "so it is not ISMRMRD raw data"
                )
        missing = {"head", "data"} - set(found["data"].dtype.names or ())
        if missing:
            raise InputError(
                f"{name}/data has no {' and '.join(sorted(missing))}, so it is not a table of ISMRMRD lines"
            )
        return found

    def _blocks(self, name: str) -> Iterator[tuple[int, AnyArray]]:
        """Slices of a table that stay below the memory bound, with the number of their first row."""
        table = self._group[name]
        start, n_rows = 0, 1
        while start < table.shape[0]:
            try:
                rows = table[start : start + n_rows]
            except (OSError, ValueError) as error:
                last = min(start + n_rows, table.shape[0]) - 1
                raise InputError(
                    f"{self.path}: rows {start} to {last} of {table.shape[0]} of {name!r} cannot be read, "
                    f"the file is damaged or truncated: {error}"
                ) from error
            yield start, rows
            start += len(rows)
            largest = max(samples.nbytes for samples in rows["data"])
            n_rows = int(np.clip(BLOCK_BYTES // max(largest, 1), 1, BLOCK_LINES))

    def _acquisitions(self) -> Iterator[ismrmrd.Acquisition]:
        n_channels = None
        for start, rows in self._blocks("data"):
            heads = _repack(rows["head"], ismrmrd.hdf5.acquisition_header_dtype, f"{self.path}: line {start}")
            has_trajectory = "traj" in (rows.dtype.names or ())
            for offset, (head, samples) in enumerate(zip(heads, rows["data"], strict=True)):
                line = f"{self.path}: line {start + offset}"
                n_channels = n_channels or self._first_channels(int(head["active_channels"]))
                if head["active_channels"] != n_channels:
                    raise InputError(f"{line} has {head['active_channels']} channels, the first line has {n_channels}")
                shape = (n_channels, int(head["number_of_samples"]))
                trajectory = _trajectory(rows["traj"][offset], head, line) if has_trajectory else None
                if trajectory is None:
                    head["trajectory_dimensions"] = 0
                    trajectory = np.zeros((shape[1], 0), np.float32)
                yield ismrmrd.Acquisition(head.tobytes(), _samples(samples, shape, line), trajectory)

    def _first_channels(self, n_channels: int) -> int:
        if n_channels == 0:
            raise InputError(f"{self.path}: line 0 has no channels")
        expected = getattr(self.header.acquisitionSystemInformation, "receiverChannels", None)
        if expected not in (None, n_channels):
            logger.warning(
                "%s: the header has %d receiver channels, the lines have %d", self.path, expected, n_channels
            )
        return n_channels

    def _waveforms(self) -> Iterator[ismrmrd.Waveform]:
        if "waveforms" not in self._group:
            return
        for start, rows in self._blocks("waveforms"):
            heads = _repack(rows["head"], ismrmrd.hdf5.waveform_header_dtype, f"{self.path}: waveform {start}")
            for offset, (head, samples) in enumerate(zip(heads, rows["data"], strict=True)):
                shape = (int(head["channels"]), int(head["number_of_samples"]))
                if samples.size != shape[0] * shape[1]:
                    raise InputError(
                        f"{self.path}: waveform {start + offset} has {samples.size} samples, its header announces "
                        f"{shape[0]} channels of {shape[1]}"
                    )
                yield ismrmrd.Waveform(head.tobytes(), np.asarray(samples, np.uint32))


def _open_hdf5(path: Path) -> h5py.File:
    if not path.is_file():
        raise InputError(f"{path}: {'is not a file' if path.exists() else 'no such file'}")
    try:
        return h5py.File(path, "r")
    except PermissionError as error:
        raise InputError(f"{path}: may not be read: {error.strerror}") from None
    except OSError as error:
        if "truncated" in str(error):
            raise InputError(
                f"{path}: the HDF5 file is truncated ({path.stat().st_size} bytes); copy it again"
            ) from None
        raise InputError(f"{path}: is not an HDF5 file, so it is not ISMRMRD data ({error})") from None


def _as_bytes(stored: Any) -> bytes:
    value = np.asarray(stored).reshape(-1)[0]
    return value.encode() if isinstance(value, str) else bytes(value)


def _repack(heads: AnyArray, dtype: np.dtype[Any], where: str) -> AnyArray:
    """Return the headers in the memory layout of the wire; other writers pad or order the fields differently."""
    missing = set(dtype.names or ()) - set(heads.dtype.names or ())
    if missing:
        raise InputError(f"{where}: its header lacks {', '.join(sorted(missing))}")
    packed = np.zeros(heads.shape, dtype)  # padding included: the bytes must not depend on what memory held
    for name in dtype.names or ():
        packed[name] = _repack(heads[name], dtype[name], where) if dtype[name].names else heads[name]
    return packed


def _samples(stored: AnyArray, shape: tuple[int, int], line: str) -> npt.NDArray[np.complex64]:
    if stored.size != 2 * shape[0] * shape[1]:
        raise InputError(
            f"{line} has {stored.size / 2:g} complex samples, its header announces {shape[0]} channels of {shape[1]}"
        )
    values = np.ascontiguousarray(stored, np.float32)
    if not np.isfinite(values).all():
        n_bad = int(np.count_nonzero(~np.isfinite(values)))
        raise InputError(f"{line} has {n_bad} values that are not finite (NaN or infinite); remove or repair that line")
    return values.view(np.complex64).reshape(shape)


def _trajectory(stored: AnyArray, head: Any, line: str) -> npt.NDArray[np.float32] | None:
    shape = (int(head["number_of_samples"]), int(head["trajectory_dimensions"]))
    if stored.size == 0:
        return None
    if stored.size != shape[0] * shape[1]:
        raise InputError(f"{line} has {stored.size} trajectory values, its header announces {shape[0]} of {shape[1]}")
    return np.ascontiguousarray(stored, np.float32).reshape(shape)


# --- images ----------------------------------------------------------------------------------------------------------


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside `target`, which takes its place on success and vanishes on failure.

    Raises
    ------
    InputError
        When the folder does not exist or cannot be written.
    """
    if not target.parent.is_dir():
        raise InputError(f"{target}: the folder {target.parent} does not exist")
    if not os.access(target.parent, os.W_OK):
        raise InputError(f"{target}: the folder {target.parent} may not be written")
    temporary = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


class ImageFile:
    """Images to ISMRMRD HDF5, one at a time, in the layout /<group>/image_<series>/{data, header, attributes}.

    A context manager: the file appears under its name when the block ends without an exception; otherwise nothing is
    left and an older file stays as it was. Other groups of an existing file are kept. Images of a series whose matrix
    or data type differs from its first ones get a group of their own, image_<series>_2 and so on: none is lost.

    Parameters
    ----------
    path, group
        Where to.
    overwrite
        Replace the group if the file has it; a group with raw data is never replaced.

    Raises
    ------
    InputError
        On entering: when the file exists and is not HDF5, or the group exists and may not be replaced.
    """

    def __init__(self, path: str | Path, group: str, *, overwrite: bool = False) -> None:
        self.path, self.group, self.overwrite = Path(path), group.strip("/"), overwrite
        if not self.group or "/" in self.group:
            raise InputError(f"an output group must be one name without '/', got {group!r}")
        self.n_images = 0

    def __enter__(self) -> ImageFile:
        if self.path.exists():
            with _open_hdf5(self.path) as old:
                self._check(old)
        with ExitStack() as stack:
            temporary = stack.enter_context(atomic_path(self.path))
            self._file = stack.enter_context(h5py.File(temporary, "x"))
            if self.path.exists():
                with _open_hdf5(self.path) as old:
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
    """Magnitude as an 8-bit grey picture, window 0 to the 99.5th percentile.

    `image` is an `ismrmrd.Image` or an array (..., y, x); what is stacked in front of y goes side by side in a mosaic
    that is about square. Values that are not finite become black.
    """
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
