"""Reading ISMRMRD raw files (HDF5) in bounded memory."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import ismrmrd
import numpy as np
import numpy.typing as npt

from nilatron.gadgets.flags import LineKind, kind_of
from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.files.hdf5.lengths import check_lengths
from nilatron.pipelines.files.hdf5.reader import DAMAGED, open_hdf5
from nilatron.pipelines.files.header import parse_header
from nilatron.pipelines.files.heads import LINE, WAVEFORM, HeadKind, HeadReader
from nilatron.pipelines.files.samples import line_samples, line_trajectory
from nilatron.pipelines.files.table import blocks, field_of_all_rows

logger = logging.getLogger(__name__)

AnyArray = npt.NDArray[Any]

MOST_HEADER_BYTES = 32 << 20


def open_raw(path: str | Path, group: str = "dataset") -> RawFile:
    """Open an ISMRMRD raw file for reading; a context manager.

    Raises
    ------
    InputError
        When the file is missing, truncated or not HDF5, lacks the group, its data or its header, stores heads in a layout that
        cannot be converted, or `parse_header` refuses the header.
    """
    path = Path(path)
    return RawFile(path, open_hdf5(path), group)


class RawFile:
    """An open ISMRMRD raw file.

    Attributes
    ----------
    header
        Header as parsed by `parse_header`.
    header_bytes
        Header as stored.
    n_acquisitions
        Number of lines, including those of a noise scan.
    """

    def __init__(self, path: Path, file: h5py.File, group: str) -> None:
        self.path, self._file = path, file
        self._trajectory_was_told = False
        try:
            self._group = self._find(group)
            self.header_bytes = header_bytes(self._group["xml"])
            self.header = parse_header(self.header_bytes)
            self.n_acquisitions = int(self._group["data"].shape[0])
            self._read_heads = self._head_reader()
        except InputError as error:
            file.close()
            raise InputError(f"{path}: {error}") from None
        except (*DAMAGED, IndexError) as error:
            file.close()
            raise InputError(f"{path}: the raw data group {group!r} cannot be read: {error}") from error

    def __enter__(self) -> RawFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def heads(self) -> AnyArray:
        """Heads of all lines: a structured array with the fields of ISMRMRD, read once and without the samples.

        Raises
        ------
        InputError
            When the heads cannot be read, or a value does not fit its field.
        """
        return self._heads

    @cached_property
    def _heads(self) -> AnyArray:
        return self._in_wire_layout(field_of_all_rows(self._group["data"], "head", str(self.path)), 0)

    def items(self) -> Iterator[ismrmrd.Acquisition | ismrmrd.Waveform]:
        """Lines in file order, with each waveform before the first line that is not older.

        Raises
        ------
        InputError
            When a line cannot be read. The message states the line's number.
        """
        waveforms = self._waveforms()
        waveform = next(waveforms, None)
        for acquisition in self._acquisitions():
            while waveform is not None and waveform.time_stamp <= acquisition.acquisition_time_stamp:
                yield waveform
                waveform = next(waveforms, None)
            yield acquisition
        while waveform is not None:
            yield waveform
            waveform = next(waveforms, None)

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
        if problem := _table_problem(found["data"]):
            raise InputError(f"{name}/data {problem}, so it is not a table of ISMRMRD lines")
        return found

    def _head_reader(self) -> HeadReader:
        kind = LINE
        if len(self.header.encoding) > 1:
            kind = HeadKind(LINE.dtype, LINE.needed | {"encoding_space_ref"}, LINE.used)
        reader = HeadReader(self._group["data"].dtype["head"], kind)
        if reader.notes:
            logger.warning("%s: heads other than ISMRMRD's: %s", self.path, "; ".join(reader.notes))
        return reader

    def _in_wire_layout(self, heads: AnyArray, first_row: int) -> AnyArray:
        try:
            return self._read_heads(heads, first_row)
        except InputError as error:
            raise InputError(f"{self.path}: {error}") from None

    def _acquisitions(self) -> Iterator[ismrmrd.Acquisition]:
        n_channels = None
        self.heads()  # looks at the lengths of all lines
        for start, rows in blocks(self._group["data"], str(self.path)):
            heads = self._in_wire_layout(rows["head"], start)
            trajectories = rows["traj"] if "traj" in (rows.dtype.names or ()) else np.empty((len(rows), 0))
            for offset, (head, samples) in enumerate(zip(heads, rows["data"], strict=True)):
                line = f"{self.path}: line {start + offset}"
                shape = (int(head["active_channels"]), int(head["number_of_samples"]))
                try:
                    data = line_samples(samples, shape, line)
                except InputError as error:
                    if kind_of(int(head["flags"])) is not LineKind.OTHER:
                        raise
                    logger.warning("%s; no image needs the line: left out", error)
                    continue
                n_channels = n_channels or self._first_channels(shape[0])
                trajectory = self._trajectory(trajectories[offset], head, line)
                yield ismrmrd.Acquisition(head.tobytes(), data, trajectory)

    def _trajectory(self, stored: AnyArray, head: Any, line: str) -> npt.NDArray[np.float32]:
        """Trajectory (sample, dimension) of a line; sets the number of dimensions in its head."""
        n_samples, announced = int(head["number_of_samples"]), int(head["trajectory_dimensions"])
        found = line_trajectory(stored, n_samples, announced)
        if found is None:
            if np.size(stored) and not self._trajectory_was_told:
                self._trajectory_was_told = True
                logger.warning(
                    "%s has %d trajectory values for %d samples, its header announces %d for each: trajectories are ignored",
                    line,
                    np.size(stored),
                    n_samples,
                    announced,
                )
            found = np.zeros((n_samples, 0), np.float32)
        head["trajectory_dimensions"] = found.shape[1]
        return found

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
        """Waveforms until the first one that cannot be read, which is reported: images do not need waveforms."""
        if "waveforms" not in self._group:
            return
        try:
            yield from self._readable_waveforms(self._group["waveforms"])
        except (InputError, ValueError) as error:
            logger.warning("%s: waveforms are left out: %s", self.path, error)

    @staticmethod
    def _readable_waveforms(table: h5py.Dataset) -> Iterator[ismrmrd.Waveform]:
        if problem := _table_problem(table):
            raise InputError(f"their table {problem}")
        check_lengths(table.id, Path(table.file.filename))
        read_heads = HeadReader(table.dtype["head"], WAVEFORM)
        for start, rows in blocks(table, "waveforms"):
            for offset, (head, samples) in enumerate(zip(read_heads(rows["head"], start), rows["data"], strict=True)):
                shape = (int(head["channels"]), int(head["number_of_samples"]))
                if samples.size != shape[0] * shape[1]:
                    raise InputError(
                        f"waveform {start + offset} has {samples.size} samples, its header announces "
                        f"{shape[0]} channels of {shape[1]}"
                    )
                yield ismrmrd.Waveform(head.tobytes(), np.asarray(samples, np.uint32))


def _table_problem(table: h5py.Dataset) -> str | None:
    """Why a dataset is not a table of heads and data; None if it is one."""
    missing = {"head", "data"} - set(table.dtype.names or ())
    if missing:
        return f"has no {' and '.join(sorted(missing))}"
    is_list = table.ndim > 0 and table.size == table.shape[0]
    return None if is_list else f"has the shape {table.shape}"


def header_bytes(stored: h5py.Dataset) -> bytes:
    """XML that is stored as a header, of several texts the first.

    Raises
    ------
    InputError
        When it is empty or too long.
    """
    return _as_bytes(_header_of(stored))


def _header_of(stored: h5py.Dataset) -> Any:
    """What is stored as a header, of several texts the first."""
    if stored.dtype.kind == "O" and stored.size:
        check_lengths(stored.id, Path(stored.file.filename))
        return stored[(0,) * stored.ndim]
    if stored.size is not None and stored.nbytes > MOST_HEADER_BYTES:
        raise InputError(f"the ISMRMRD header has {stored.nbytes} bytes, more than {MOST_HEADER_BYTES}")
    return stored[()]


def _as_bytes(stored: Any) -> bytes:
    """Bytes of a header that is stored as text, as an array of one text, of characters or of character codes."""
    if isinstance(stored, h5py.Empty) or np.size(stored) == 0:
        raise InputError("the ISMRMRD header is empty")
    values = np.asarray(stored).reshape(-1)
    if values.dtype.kind in "iu":
        return values.tobytes()
    if values.dtype.kind == "S" and values.dtype.itemsize == 1:
        return b"".join(values.tolist())
    value = values[0]
    return value.encode("utf-8", "surrogateescape") if isinstance(value, str) else bytes(value)
