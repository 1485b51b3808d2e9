"""A scan that never happened: a phantom or an image to an ISMRMRD raw file, as a scanner would stream it.

The object is drawn on the encoded (oversampled) field of view as voxel averages, multiplied by the coils and
transformed: y = F S x + n. So the measurement model of the reconstruction holds exactly, and the noise-free image of
all lines is x itself. In k-space units x is at most about 1 and noise has the complex standard deviation `noise_std`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import h5py
import ismrmrd
import ismrmrd.hdf5
import ismrmrd.xsd as xsd
import numpy as np

from nilatron.pipelines.files.atomic import InputError, atomic_path
from nilatron.pipelines.files.careful import NewHdf5
from nilatron.pipelines.simulation.header import simulated_header
from nilatron.pipelines.simulation.scanned_object import ground_truth, to_recon_grid
from nilatron.pipelines.simulation.settings import EXTRA_FLAGS, SimulationSettings
from nilatron.pipelines.simulation.stream import simulate_stream

__all__ = [
    "EXTRA_FLAGS",
    "SimulationSettings",
    "ground_truth",
    "simulate",
    "simulate_items",
    "simulate_stream",
    "simulated_header",
    "to_recon_grid",
]

logger = logging.getLogger(__name__)

WRITE_LINES = 256


def simulate(path: str | Path, settings: SimulationSettings, *, group: str = "dataset", overwrite: bool = False) -> int:
    """Write the scan as an ISMRMRD raw file, whole or not at all.

    Returns
    -------
    Number of lines, noise scan included.

    Raises
    ------
    InputError
        When the file exists (unless `overwrite`), cannot be written, or the settings' image cannot be read.
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise InputError(f"{path}: exists; choose another name or replace it with --overwrite")
    with atomic_path(path) as temporary, NewHdf5(temporary) as new:
        target = new.file.create_group(group)
        # readers written in C ask for a string without a character set and HDF5 does not convert between sets
        xml = target.create_dataset("xml", (1,), h5py.special_dtype(vlen=bytes))
        xml[0] = xsd.ToXML(simulated_header(settings)).encode()
        n_lines = _write(target, checked(simulate_stream(settings), new))
    logger.info("%s: %d lines of %d coils", path, n_lines, settings.n_coils)
    return n_lines


def simulate_items(
    settings: SimulationSettings,
) -> tuple[xsd.ismrmrdHeader, list[ismrmrd.Acquisition | ismrmrd.Waveform]]:
    """Return header and items of the scan in memory, in time order."""
    return simulated_header(settings), list(simulate_stream(settings))


def checked(items: Iterable[Any], new: NewHdf5) -> Iterator[Any]:
    """The items, as long as the disk takes them."""
    for item in items:
        new.check()
        yield item


def _write(group: h5py.Group, items: Iterable[ismrmrd.Acquisition | ismrmrd.Waveform]) -> int:
    """Write items in blocks of lines; return the number of lines."""
    tables = {
        name: group.create_dataset(name, (0,), dtype, maxshape=(None,), chunks=(WRITE_LINES,))
        for name, dtype in (("data", ismrmrd.hdf5.acquisition_dtype),)
    }
    waiting: dict[str, list[Any]] = {"data": [], "waveforms": []}
    for item in items:
        name = "data" if isinstance(item, ismrmrd.Acquisition) else "waveforms"
        if name not in tables:
            dtype = ismrmrd.hdf5.waveform_dtype
            tables[name] = group.create_dataset(name, (0,), dtype, maxshape=(None,), chunks=(WRITE_LINES,))
        waiting[name].append(item)
        if len(waiting[name]) == WRITE_LINES:
            _append(tables[name], waiting[name])
            waiting[name] = []
    for name, table in tables.items():
        _append(table, waiting[name])
    return int(tables["data"].shape[0])


def _append(table: h5py.Dataset, items: list[Any]) -> None:
    if not items:
        return
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
