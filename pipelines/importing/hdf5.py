"""Files in the layout of fastMRI and M4Raw.

    kspace               complex (slice, coil, readout, phase encoding)
    mask                 lines that were acquired, (phase encoding); in test files alone
    reconstruction_rss   (slice, readout, phase encoding), root of the sum of squares of the coil images, cropped in the middle
    ismrmrd_header       XML

The readout is twice oversampled in fastMRI. Lines that were not acquired are zero, at the edges as well.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.files.hdf5.reader import DAMAGED, open_hdf5
from nilatron.pipelines.files.header import parse_header
from nilatron.pipelines.files.raw import header_bytes
from nilatron.pipelines.importing.kspace import ComplexArray, Kspace

LAYOUT = "kspace (slice, coil, readout, phase encoding), complex"
REFERENCE = "reconstruction_rss"
NUMBERS = "bifu"  # kinds of NumPy


def open_layout(path: Path) -> tuple[h5py.File, Kspace]:
    """The open file, which the caller closes, and its k-space.

    Raises
    ------
    InputError
        When it has another layout; the message says what was found.
    """
    file = open_hdf5(path)
    try:
        return file, _kspace(file)
    except InputError as error:
        file.close()
        raise InputError(f"{path}: {error}") from None


def _kspace(file: h5py.File) -> Kspace:
    table = file.get("kspace")
    if not isinstance(table, h5py.Dataset):
        raw = [name for name, group in file.items() if isinstance(group, h5py.Group) and {"xml", "data"} <= set(group)]
        if raw:
            raise InputError(f"group {raw[0]!r} is ISMRMRD raw data already: nilatron replay reads it")
        raise InputError(f"expected {LAYOUT}, found {_found(file)}")
    if table.ndim != 4 or table.dtype.kind != "c":
        hint = "; single-coil files have no coils to combine" if table.ndim == 3 else ""
        raise InputError(f"expected {LAYOUT}, found kspace {table.shape}, {table.dtype}{hint}")
    n_slices, n_coils, n_read, n_phase = table.shape
    if 0 in table.shape:
        raise InputError(f"kspace is empty: {table.shape}")

    def read(number: int) -> ComplexArray:
        return np.asarray(_values(table, number).swapaxes(1, 2)[:, None], np.complex64)

    return Kspace(
        (n_coils, 1, n_phase, n_read), n_slices, read, _header(file), _mask(file, n_phase), _reference(file, n_slices)
    )


def _found(file: h5py.File) -> str:
    parts = [
        f"{name} {found.shape}, {found.dtype}" if isinstance(found, h5py.Dataset) else f"group {name}"
        for name, found in file.items()
    ]
    return "; ".join(parts) or "nothing"


def _values(stored: h5py.Dataset, place: Any = ()) -> npt.NDArray[Any]:
    try:
        values: npt.NDArray[Any] = stored[place]
    except DAMAGED as error:
        where = "" if place == () else f" {place}"
        raise InputError(f"{stored.name}{where} cannot be read, the file is damaged: {error}") from None
    return values


def _header(file: h5py.File) -> Any:
    stored = file.get("ismrmrd_header")
    if not isinstance(stored, h5py.Dataset):
        return None
    try:
        found = header_bytes(stored)
    except InputError:
        raise
    except DAMAGED as error:
        raise InputError(f"{stored.name} cannot be read, the file is damaged: {error}") from None
    return parse_header(found)


def _mask(file: h5py.File, n_phase: int) -> npt.NDArray[np.bool_] | None:
    stored = file.get("mask")
    if not isinstance(stored, h5py.Dataset):
        return None
    if stored.size != n_phase or stored.dtype.kind not in NUMBERS:
        raise InputError(
            f"expected a mask of {n_phase} lines along the phase encoding, found mask {stored.shape}, {stored.dtype}"
        )
    return np.asarray(_values(stored), bool).reshape(-1)


def _reference(file: h5py.File, n_slices: int) -> npt.NDArray[np.float32] | None:
    stored = file.get(REFERENCE)
    if not isinstance(stored, h5py.Dataset):
        return None
    if stored.ndim != 3 or len(stored) != n_slices or stored.dtype.kind not in NUMBERS:
        raise InputError(
            f"expected {REFERENCE} of {n_slices} slices (slice, readout, phase), found {stored.shape}, {stored.dtype}"
        )
    return np.asarray(_values(stored), np.float32).swapaxes(1, 2)[:, None]
