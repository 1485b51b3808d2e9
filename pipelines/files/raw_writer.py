"""Writing ISMRMRD raw files in blocks of lines."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import h5py
import ismrmrd
import ismrmrd.hdf5
import ismrmrd.xsd as xsd
import numpy as np

from nilatron.pipelines.files.hdf5.writer import Hdf5Writer

WRITE_LINES = 256
HEAD_BYTES = 512  # of a line or waveform in the file, at most


def write_raw(writer: Hdf5Writer, name_of_group: str, header: xsd.ismrmrdHeader, items: Iterable[Any]) -> int:
    """Write header and items, lines and waveforms, these in blocks; return the number of lines.

    Raises
    ------
    OSError
        When the disk is full, or fails otherwise.
    """
    with writer.block(0) as file:
        group = file.create_group(name_of_group)
        # readers written in C ask for a string without a character set and HDF5 does not convert between sets
        xml = group.create_dataset("xml", (1,), h5py.special_dtype(vlen=bytes))
        xml[0] = xsd.ToXML(header).encode()
        tables = {"data": _table(group, "data", ismrmrd.hdf5.acquisition_dtype)}
    waiting: dict[str, list[Any]] = {"data": [], "waveforms": []}

    def write_waiting(name: str) -> None:
        n_bytes = sum(item.data.nbytes + HEAD_BYTES for item in waiting[name])
        with writer.block(n_bytes + n_bytes // 16):  # what HDF5 adds to each line
            if name not in tables:
                tables[name] = _table(group, name, ismrmrd.hdf5.waveform_dtype)
            _append(tables[name], waiting[name])
        waiting[name] = []

    for item in items:
        name = "data" if isinstance(item, ismrmrd.Acquisition) else "waveforms"
        waiting[name].append(item)
        if len(waiting[name]) == WRITE_LINES:
            write_waiting(name)
    for name in waiting:
        if waiting[name]:
            write_waiting(name)
    return int(tables["data"].shape[0])


def _table(group: h5py.Group, name: str, dtype: Any) -> h5py.Dataset:
    return group.create_dataset(name, (0,), dtype, maxshape=(None,), chunks=(WRITE_LINES,))


def _append(table: h5py.Dataset, items: list[Any]) -> None:
    rows = np.zeros(len(items), table.dtype)
    heads = b"".join(bytes(item.getHead()) for item in items)
    rows["head"] = np.frombuffer(heads, table.dtype["head"])
    for row, item in zip(rows, items, strict=True):
        row["data"] = item.data.reshape(-1).view(np.float32 if "traj" in rows.dtype.names else np.uint32)
        if "traj" in rows.dtype.names:
            row["traj"] = np.zeros(0, np.float32)
    start = table.shape[0]
    table.resize(start + len(items), axis=0)
    table[start:] = rows
