"""Values of variable length in HDF5 files, looked at before HDF5 reads anything of them.

In its dataset such a value is its length, 4 bytes, and where it lies: in a heap of the file, which is never compressed. HDF5
takes memory for the length before it looks there, and trusts both. Here each has to be as long as its object in the heap, and
all of a dataset together no longer than the file.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import numpy as np
from h5py import h5d, h5f, h5i, h5p, h5s, h5t

from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.files.hdf5.heaps import Heaps
from nilatron.pipelines.files.hdf5.rows import StoredRow, row_of

UNPACKED_BYTES = 1 << 22  # at a time

Places = list[tuple[int, int]]


def check_lengths(dataset: h5d.DatasetID, path: Path) -> None:
    """Refuse a dataset whose values of variable length are not where and as long as they should be.

    Raises
    ------
    InputError
        When they are not, or that cannot be found out.
    """
    layout = row_of(dataset)
    if not layout.values or not dataset.get_space().get_simple_extent_npoints():
        return
    try:
        _check(dataset, layout, _stored(dataset, layout.n_bytes, path), path)
    except InputError:
        raise
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(f"lengths of its values cannot be read: {error}") from None


def check_fields(dataset: h5d.DatasetID, content: bytes, path: Path) -> None:
    """The same for all rows of a dataset as they lie in the file.

    Raises
    ------
    InputError
        As `check_lengths`.
    """
    _check(dataset, row_of(dataset), iter([content]), path)


def _check(dataset: h5d.DatasetID, layout: StoredRow, contents: Iterator[bytes], path: Path) -> None:
    made = h5i.get_file_id(dataset).get_create_plist()
    with path.open("rb") as file:
        heaps = Heaps(file.fileno(), made.get_userblock(), made.get_sizes()[1])
        values = Values(layout, heaps, path.stat().st_size)
        for content in contents:
            values.check(content)


@dataclass
class Values:
    """The values of variable length of rows.

    Attributes
    ----------
    layout, heaps, file_bytes
        Of the rows, where the values lie, and the size of the file.
    n_bytes
        Of all values so far.
    """

    layout: StoredRow
    heaps: Heaps
    file_bytes: int
    n_bytes: int = 0

    def check(self, content: bytes) -> None:
        """Look at more rows.

        Raises
        ------
        InputError
            When a value is not as long as its object, or all are longer than the file.
        """
        row_bytes = self.layout.n_bytes
        for offset, value_bytes, kind in self.layout.values:
            found = np.ndarray(len(content) // row_bytes, kind, content, offset, (row_bytes,))
            used = found[found["length"] > 0]
            self.n_bytes += value_bytes * int(used["length"].sum(dtype=np.uint64))
            if self.n_bytes > self.file_bytes:
                raise InputError(f"fields claim {self.n_bytes} bytes in a file of {self.file_bytes}")
            for length, address, index in used.tolist():
                if self.heaps.sizes(address).get(index) != length * value_bytes:
                    raise InputError(f"a field claims {length} values, and what lies in its place has not so many")


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
