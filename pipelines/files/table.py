"""Tables of an HDF5 file: blocks of rows in bounded memory, and one field of all rows at once."""

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

AnyArray = npt.NDArray[Any]

BLOCK_BYTES = 16 * 2**20  # of samples in memory at a time
BLOCK_LINES = 512


def blocks(table: h5py.Dataset, where: str) -> Iterator[tuple[int, AnyArray]]:
    """Slices of a table that stay below the memory bound, with the number of their first row.

    Raises
    ------
    InputError
        When rows cannot be read.
    """
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
        largest = max(np.asarray(samples).nbytes for samples in rows["data"])
        n_rows = int(np.clip(BLOCK_BYTES // max(largest, 1), 1, BLOCK_LINES))


def _in_own_byte_order(rows: AnyArray, stored: np.dtype[Any]) -> AnyArray:
    """Rows whose variable-length numbers mean what they should: h5py calls all of them native, and leaves the bytes."""
    for name in stored.names or ():
        kind = h5py.check_vlen_dtype(stored[name])
        if kind is None or kind.isnative or not _byte_order_is_lost():
            continue
        for i, values in enumerate(rows[name]):
            if values.dtype == kind.newbyteorder("="):
                rows[name][i] = values.view(kind)
    return rows


@cache
def _byte_order_is_lost() -> bool:
    """Whether this h5py reads variable-length numbers of the other byte order wrongly, as 3.16 does."""
    with h5py.File("probe", "w", driver="core", backing_store=False) as file:
        probe = file.create_dataset("probe", (1,), h5py.vlen_dtype(np.dtype(np.float32).newbyteorder()))
        probe[0] = np.ones(1, np.float32)
        return bool(probe[0][0] != 1)


def field_of_all_rows(table: h5py.Dataset, name: str, where: str) -> AnyArray:
    """One field of all rows; the other fields, and what variable-length ones point to, are not read.

    Raises
    ------
    InputError
        When it cannot be read.
    """
    try:
        found = _from_chunks(table, name)
        read: AnyArray = table.fields(name)[()].reshape(-1) if found is None else found
    except (OSError, TypeError, ValueError) as error:
        raise InputError(f"{where}: {name!r} cannot be read, the file is damaged or truncated: {error}") from error
    return read


def _from_chunks(table: h5py.Dataset, name: str) -> AnyArray | None:
    """The field from where the chunks of rows lie in the file; None where they do not hold rows as they are.

    Most writers give every line a chunk of its own, and HDF5 takes longer to read a chunk than to say where it is.
    """
    if table.ndim != 1 or table.chunks is None or len(table) == 0 or table.id.get_create_plist().get_nfilters():
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
        return None  # rows that were never written have no place
    offset = rows.get_member_offset(member)
    values: AnyArray = np.ndarray(len(table), dtype, content, offset, (row_bytes,))
    ends = sorted({0, len(table) - 1})
    return values if values[ends].tobytes() == table.fields(name)[ends].tobytes() else None
