"""BART's .cfl and NumPy's .npy, whose axes are named: slice, coil, z, y, x (x along the readout)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.importing.kspace import ComplexArray, Kspace

AXES = ("slice", "coil", "z", "y", "x")
NEEDED = ("coil", "y", "x")
# BART's dimensions; `other` are those that must be 1 here
BART_AXES = ("x", "y", "z", "coil", *["other"] * 9, "slice")
MOST_DIMENSIONS = 16


def read_numpy(path: Path, order: Sequence[str], shape: Sequence[int]) -> Kspace:
    """K-space of an .npy file; it stays on the disk.

    Parameters
    ----------
    order
        Name of each axis of the array.
    shape
        What the array must have; empty: anything.

    Raises
    ------
    InputError
        When the file is no complex array, or its axes are others than was said.
    """
    if not order:
        raise InputError(f"{path}: name its axes, for example --order slice,coil,y,x (of: {', '.join(AXES)})")
    from nilatron.pipelines.files.pictures import UNREADABLE, read_npy

    try:
        array = read_npy(path)
    except UNREADABLE as error:
        raise InputError(f"{path}: is not an npy file that can be read: {error}") from error
    return named(path, array, order, shape)


def read_bart(path: Path, order: Sequence[str], shape: Sequence[int]) -> Kspace:
    """K-space of a pair .cfl and .hdr; it stays on the disk.

    Parameters
    ----------
    order
        Names in place of BART's own: x, y, z, coil, and slice at the 14th place.
    shape
        What the dimensions must be, as far as they are given.

    Raises
    ------
    InputError
        When one of the two is missing, they contradict each other, or other dimensions are used.
    """
    header, data = path.with_suffix(".hdr"), path.with_suffix(".cfl")
    for one in (header, data):
        if not one.is_file():
            raise InputError(f"{one}: no such file; BART's arrays are pairs of .cfl and .hdr")
    dimensions = _dimensions(header)
    n_bytes, wanted = data.stat().st_size, 8 * math.prod(dimensions)
    if n_bytes != wanted:
        raise InputError(f"{data}: expected {wanted} bytes for {_times(dimensions)} samples, found {n_bytes}")
    array = np.memmap(data, np.complex64, "r", shape=tuple(dimensions), order="F")
    names = [*(order or BART_AXES), *["other"] * MOST_DIMENSIONS][: max(len(dimensions), len(order))]
    return named(path, array, names, shape)


def named(path: Path, array: npt.NDArray[np.generic], order: Sequence[str], shape: Sequence[int]) -> Kspace:
    """K-space of an array whose axes have names.

    Raises
    ------
    InputError
        When the names do not fit the array.
    """
    found = f"{_times(array.shape)}, {array.dtype}"
    if shape and tuple(shape) != array.shape[: len(shape)]:
        raise InputError(f"{path}: expected the shape {_times(shape)}, found {found}")
    if array.dtype.kind != "c":
        raise InputError(f"{path}: expected complex samples, found {found}")
    if len(order) != array.ndim:
        raise InputError(f"{path}: --order names {len(order)} axes ({', '.join(order)}), the array has {found}")
    used = [name for name, size in zip(order, array.shape, strict=True) if name != "other" or size > 1]
    unknown, twice = sorted(set(used) - set(AXES)), sorted({name for name in used if used.count(name) > 1})
    missing = [name for name in NEEDED if name not in used]
    if unknown or twice or missing or 0 in array.shape:
        raise InputError(
            f"{path}: expected axes of {', '.join(AXES)}, each once and {', '.join(NEEDED)} among them, found "
            f"{', '.join(f'{name} {size}' for name, size in zip(order, array.shape, strict=True))}"
        )
    sizes = dict(zip(order, array.shape, strict=True))
    kept = array[tuple(slice(None) if name in used else 0 for name in order)]  # of the others there is one
    ordered = kept.transpose([used.index(name) for name in AXES if name in used])
    full = tuple(int(sizes.get(name, 1)) for name in AXES)

    def read(number: int) -> ComplexArray:
        one = ordered[number] if "slice" in used else ordered
        return np.asarray(one, np.complex64).reshape(full[1:])

    return Kspace((full[1], full[2], full[3], full[4]), full[0], read)


def _dimensions(header: Path) -> list[int]:
    lines = header.read_text(errors="replace").splitlines()
    try:
        place = lines.index("# Dimensions")
        found = [int(word) for word in lines[place + 1].split()]
    except (ValueError, IndexError):
        raise InputError(f"{header}: expected '# Dimensions' and a line of whole numbers below it") from None
    if not found or min(found) < 1 or len(found) > MOST_DIMENSIONS:
        raise InputError(f"{header}: expected up to {MOST_DIMENSIONS} positive dimensions, found {_times(found)}")
    return found


def _times(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape)) or "no axes"
