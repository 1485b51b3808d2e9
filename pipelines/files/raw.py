"""Reading ISMRMRD raw files (HDF5) in bounded memory."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import ismrmrd
import ismrmrd.hdf5
import numpy as np
import numpy.typing as npt

from nilatron.pipelines.files.atomic import InputError, open_hdf5
from nilatron.pipelines.files.header import parse_header

logger = logging.getLogger(__name__)

BLOCK_BYTES = 16 * 2**20  # samples that are read at a time
BLOCK_LINES = 512

AnyArray = npt.NDArray[Any]


def open_raw(path: str | Path, group: str = "dataset") -> RawFile:
    """Open an ISMRMRD raw file for reading; a context manager.

    Raises
    ------
    InputError
        When the file is missing, truncated or not HDF5, lacks the group, its data or its header, or `parse_header` refuses
        the header.
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
        """Lines in file order, with each waveform before the first line that is not older.

        Raises
        ------
        InputError
            When a line cannot be read, holds samples that are not finite, or does not have the number of channels of the
            first line. The message states the line's number.
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

    def heads(self) -> AnyArray:
        """Heads of all lines, before any of their samples is read."""
        dataset = self._group["data"]
        return _repack(dataset.fields("head")[()], ismrmrd.hdf5.acquisition_header_dtype, f"{self.path}: heads")

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
        """Consecutive blocks of rows of a table, within the memory limit, each with the number of its first row."""
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
                shape = (int(head["active_channels"]), int(head["number_of_samples"]))
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


def _as_bytes(stored: Any) -> bytes:
    value = np.asarray(stored).reshape(-1)[0]
    return value.encode() if isinstance(value, str) else bytes(value)


def _repack(heads: AnyArray, dtype: np.dtype[Any], where: str) -> AnyArray:
    """The headers in the memory layout of the protocol; some writers pad or order the fields differently."""
    missing = set(dtype.names or ()) - set(heads.dtype.names or ())
    if missing:
        raise InputError(f"{where}: its header lacks {', '.join(sorted(missing))}")
    packed = np.zeros(heads.shape, dtype)  # zeros, so that padding bytes do not depend on old memory content
    for name in dtype.names or ():
        packed[name] = _repack(heads[name], dtype[name], where) if dtype[name].names else heads[name]
    return packed


def _samples(stored: AnyArray, shape: tuple[int, int], line: str) -> npt.NDArray[np.complex64]:
    if stored.size != 2 * shape[0] * shape[1]:
        raise InputError(
            f"{line} has {stored.size / 2:g} complex samples, its header announces {shape[0]} channels of {shape[1]}"
        )
    values = np.ascontiguousarray(stored, np.float32)
    return values.view(np.complex64).reshape(shape)


def _trajectory(stored: AnyArray, head: Any, line: str) -> npt.NDArray[np.float32] | None:
    shape = (int(head["number_of_samples"]), int(head["trajectory_dimensions"]))
    if stored.size == 0:
        return None
    if stored.size != shape[0] * shape[1]:
        raise InputError(f"{line} has {stored.size} trajectory values, its header announces {shape[0]} of {shape[1]}")
    return np.ascontiguousarray(stored, np.float32).reshape(shape)
