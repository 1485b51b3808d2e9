"""Lengths of values of variable length in HDF5 files, before anything of them is read.

In its dataset such a value is its length, 4 bytes, and where it lies: in a heap of the file, which is never compressed. HDF5
takes memory for the length before it looks there. All values of a dataset together cannot be longer than the file.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import numpy as np
from h5py import h5d, h5f, h5i, h5p, h5s, h5t

from nilatron.pipelines.files.atomic import InputError

UNPACKED_BYTES = 1 << 22  # at a time

Places = list[tuple[int, int]]


def check_lengths(dataset: h5d.DatasetID, path: Path) -> None:
    """Refuse a dataset whose values of variable length are longer than the file.

    Raises
    ------
    InputError
        When they are, or their lengths cannot be found.
    """
    layout = row_of(dataset)
    if not layout.values or not dataset.get_space().get_simple_extent_npoints():
        return
    total, file_bytes = 0, path.stat().st_size
    try:
        for content in _stored(dataset, layout.n_bytes, path):
            total += claimed_bytes(layout, content)
            if total > file_bytes:
                break
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(f"lengths of its values cannot be read: {error}") from None
    refuse_beyond(total, file_bytes)


def check_fields(dataset: h5d.DatasetID, content: bytes, file_bytes: int) -> None:
    """The same for all rows of a dataset as they lie in the file.

    Raises
    ------
    InputError
        When the values are longer than the file.
    """
    refuse_beyond(claimed_bytes(row_of(dataset), content), file_bytes)


def refuse_beyond(claimed: int, file_bytes: int) -> None:
    """Refuse what is longer than the file.

    Raises
    ------
    InputError
        That says so.
    """
    if claimed > file_bytes:
        raise InputError(f"fields claim {claimed} bytes in a file of {file_bytes}")


def claimed_bytes(layout: StoredRow, content: bytes) -> int:
    """Bytes of all values of variable length of these rows."""
    n_rows, total = len(content) // layout.n_bytes, 0
    for offset, value_bytes in layout.values:
        lengths = np.ndarray(n_rows, "<u4", content, offset, (layout.n_bytes,))
        total += value_bytes * int(lengths.sum(dtype=np.uint64))
    return total


class StoredRow(NamedTuple):
    """A row as it lies in the file: its bytes, where values of variable length are, and the bytes of one of their elements."""

    n_bytes: int
    values: list[tuple[int, int]]


def stored_row(kind: h5t.TypeID, value_bytes: int) -> StoredRow:
    """How a row of a type is stored, where a value of variable length takes `value_bytes`; in memory texts take less."""
    what = kind.get_class()
    if what == h5t.VLEN:
        return StoredRow(value_bytes, [(0, kind.get_super().get_size())])
    if what == h5t.STRING and kind.is_variable_str():
        return StoredRow(value_bytes, [(0, 1)])
    if what != h5t.COMPOUND:
        return StoredRow(kind.get_size(), [])
    shift, values = 0, []
    for n in sorted(range(kind.get_nmembers()), key=kind.get_member_offset):
        member, offset = kind.get_member_type(n), kind.get_member_offset(n) + shift
        inner = stored_row(member, value_bytes)
        values += [(offset + place, n_bytes) for place, n_bytes in inner.values]
        shift += inner.n_bytes - member.get_size()
    return StoredRow(kind.get_size() + shift, values)


def row_of(dataset: h5d.DatasetID) -> StoredRow:
    """How the rows of a dataset are stored: a value of variable length as two numbers of 4 bytes and an address."""
    address_bytes, _ = h5i.get_file_id(dataset).get_create_plist().get_sizes()
    return stored_row(dataset.get_type(), 8 + address_bytes)


def has_variable_values(kind: h5t.TypeID) -> bool:
    """Whether a type has values of variable length at any place but within others or arrays."""
    return bool(stored_row(kind, 0).values)


def _stored(dataset: h5d.DatasetID, row_bytes: int, path: Path) -> Iterator[bytes]:
    """Rows of a dataset as they lie in the file, in any order; those that were never written are not among them."""
    made = dataset.get_create_plist()
    if made.get_layout() == h5d.COMPACT:
        raise InputError("it holds values of variable length in its head, where they cannot be checked")
    if made.get_layout() == h5d.CONTIGUOUS:
        if dataset.get_offset() is not None:
            n_rows = dataset.get_space().get_simple_extent_npoints()
            yield _read(path, [(dataset.get_offset(), n_rows * row_bytes)])
    elif made.get_nfilters() or h5i.get_file_id(dataset).get_create_plist().get_userblock():
        yield from _unpacked_chunks(dataset, row_bytes)
    else:
        places: Places = []
        dataset.chunk_iter(lambda chunk: places.append((chunk.byte_offset, chunk.size)))
        yield _read(path, places)


def _read(path: Path, places: Places) -> bytes:
    with path.open("rb") as file:
        return b"".join([os.pread(file.fileno(), size, place) for place, size in places])


def _unpacked_chunks(dataset: h5d.DatasetID, row_bytes: int) -> Iterator[bytes]:
    """Content of the chunks, unpacked by HDF5 as bytes that mean nothing, so that it follows no address."""
    made = dataset.get_create_plist()
    n_rows = math.prod(made.get_chunk())
    at_once = max(1, UNPACKED_BYTES // (n_rows * row_bytes))
    found: list[tuple[int, ...]] = []
    dataset.chunk_iter(lambda chunk: found.append(chunk.chunk_offset))
    for first in range(0, len(found), at_once):
        places = found[first : first + at_once]
        unpacked = _scratch(made, n_rows, len(places), row_bytes)
        for n, place in enumerate(places):
            mask, packed = dataset.read_direct_chunk(place)
            unpacked.write_direct_chunk((n * n_rows,), packed, mask)
        content = np.empty(len(places) * n_rows, f"V{row_bytes}")
        unpacked.read(h5s.ALL, h5s.ALL, content)
        yield content.tobytes()


def _scratch(made: h5p.PropDCID, n_rows: int, n_chunks: int, row_bytes: int) -> h5d.DatasetID:
    """Dataset in memory with the filters of another one, and rows that are bytes."""
    plist, access = h5p.create(h5p.DATASET_CREATE), h5p.create(h5p.FILE_ACCESS)
    plist.set_chunk((n_rows,))
    for n in range(made.get_nfilters()):
        code, flags, values, _ = made.get_filter(n)
        plist.set_filter(code, flags, values)
    access.set_fapl_core(backing_store=False)
    file = h5f.create(uuid4().hex.encode(), fapl=access)
    rows = h5s.create_simple((n_chunks * n_rows,))
    return h5d.create(file, b"chunks", h5t.create(h5t.OPAQUE, row_bytes), rows, plist)
