"""Reading HDF5 tables: blocks of rows in bounded memory, or one field of all rows at once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.files.hdf5.lengths import check_fields, check_lengths

AnyArray = npt.NDArray[Any]

BLOCK_BYTES = 16 * 2**20  # samples that are read at a time
BLOCK_LINES = 512
MOST_ROW_BYTES = 128 * 2**20


def blocks(table: h5py.Dataset, where: str) -> Iterator[tuple[int, AnyArray]]:
    """Consecutive blocks of rows of a table, within the memory limit, each with the number of its first row.

    Raises
    ------
    InputError
        When rows cannot be read.
    """
    if table.dtype.itemsize > MOST_ROW_BYTES:
        raise InputError(f"{where}: one row has {table.dtype.itemsize} bytes, more than {MOST_ROW_BYTES}")
    start, n_rows = 0, 1
    while start < table.shape[0]:
        try:
            rows = _in_own_byte_order(table[start : start + n_rows].reshape(-1), table.dtype)
        except (OSError, TypeError, ValueError) as error:
            last = min(start + n_rows, table.shape[0]) - 1
            raise InputError(
                f"{where}: rows {start} to {last} of {table.shape[0]} of {table.name.rpartition('/')[2]!r} cannot be read, "
                f"the file is damaged or truncated: {error}"
            ) from error
        yield start, rows
        start += len(rows)
        largest = sum(_largest(rows[name]) for name in rows.dtype.names or () if name != "head")
        n_rows = int(np.clip(BLOCK_BYTES // max(largest, 1), 1, BLOCK_LINES))


def _largest(column: AnyArray) -> int:
    """Most bytes that a field has in one of some rows."""
    if column.dtype.kind == "O":
        return max(int(np.asarray(value).nbytes) for value in column)
    return column.nbytes // len(column)


def _in_own_byte_order(rows: AnyArray, stored: np.dtype[Any]) -> AnyArray:
    """The rows, with the byte order of variable-length fields corrected: h5py labels them native without swapping bytes."""
    for name in stored.names or ():
        kind = h5py.check_vlen_dtype(stored[name])
        if not isinstance(kind, np.dtype) or kind.isnative or not _byte_order_is_lost():
            continue
        for i, values in enumerate(rows[name]):
            if values.dtype == kind.newbyteorder("="):
                rows[name][i] = values.view(kind)
    return rows


@cache
def _byte_order_is_lost() -> bool:
    """Whether the installed h5py reads variable-length numbers of the other byte order wrongly, as version 3.16 does."""
    with h5py.File("probe", "w", driver="core", backing_store=False) as file:
        probe = file.create_dataset("probe", (1,), h5py.vlen_dtype(np.dtype(np.float32).newbyteorder()))
        probe[0] = np.ones(1, np.float32)
        return bool(probe[0][0] != 1)


def field_of_all_rows(table: h5py.Dataset, name: str, where: str) -> AnyArray:
    """One field of all rows of a table, read without the other fields.

    Raises
    ------
    InputError
        When the field cannot be read.
    """
    try:
        found = _from_chunks(table, name)
        if found is None:
            check_lengths(table.id, Path(table.file.filename))
        read: AnyArray = table.fields(name)[()].reshape(-1) if found is None else found
    except (OSError, TypeError, ValueError) as error:
        raise InputError(f"{where}: {name!r} cannot be read, the file is damaged or truncated: {error}") from error
    return read


def _from_chunks(table: h5py.Dataset, name: str) -> AnyArray | None:
    """The field, read directly from the file at the addresses of the chunks; None if chunks are missing or filtered.

    Most writers put each line into its own chunk, and HDF5 takes much longer to read a chunk than to find its address.
    """
    if table.ndim != 1 or table.chunks is None or len(table) == 0 or table.file.userblock_size:
        return None
    if table.id.get_create_plist().get_nfilters():
        return None
    rows = table.id.get_type()
    member = rows.get_member_index(name.encode())
    dtype, row_bytes = rows.get_member_type(member).dtype, rows.get_size()
    if dtype.hasobject:
        return None
    places: list[Any] = []
    table.id.chunk_iter(places.append)
    places.sort(key=lambda chunk: chunk.chunk_offset)
    with Path(table.file.filename).open("rb") as file:
        content = b"".join([os.pread(file.fileno(), chunk.size, chunk.byte_offset) for chunk in places])
    if len(places) * table.chunks[0] < len(table) or len(content) < len(table) * row_bytes:
        return None  # chunks that were never written have no address
    check_fields(table.id, content, Path(table.file.filename))
    offset = rows.get_member_offset(member)
    values: AnyArray = np.ndarray(len(table), dtype, content, offset, (row_bytes,))
    ends = sorted({0, len(table) - 1})
    return values if values[ends].tobytes() == table.fields(name)[ends].tobytes() else None
