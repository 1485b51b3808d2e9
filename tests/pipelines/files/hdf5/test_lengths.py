import struct
import zlib

import h5py
import numpy as np
import pytest

from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.files.hdf5.lengths import UNPACKED_BYTES, check_lengths
from nilatron.pipelines.files.hdf5.reader import open_hdf5
from nilatron.pipelines.files.hdf5.rows import row_of

N_ROWS = 40
KIND = np.dtype([("n", "u2"), ("x", h5py.vlen_dtype(np.float32)), ("text", h5py.string_dtype())])
LAYOUTS = {
    "contiguous": {},
    "chunked": {"chunks": (8,)},
    "packed": {"chunks": (8,), "compression": "gzip"},
    "shuffled": {"chunks": (8,), "compression": "gzip", "shuffle": True, "fletcher32": True},
    "lzf": {"chunks": (7,), "compression": "lzf"},
}


def rows():
    made = np.zeros(N_ROWS, KIND)
    for n in range(N_ROWS):
        made["x"][n], made["text"][n] = np.ones(n + 1, np.float32), "y" * n
    return made


@pytest.fixture
def path_of(tmp_path):
    """A file with a table of values of variable length, in a layout."""

    def write(layout, userblock=0):
        path = tmp_path / "a.h5"
        with h5py.File(path, "w", userblock_size=userblock) as file:
            file.create_dataset("a", data=rows(), dtype=KIND, **LAYOUTS[layout])
        return path

    return write


def check(path):
    with h5py.File(path) as file:
        check_lengths(file["a"].id, path)


@pytest.mark.parametrize("userblock", [0, 1024])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_values_as_they_were_written_are_taken(path_of, layout, userblock):
    check(path_of(layout, userblock))


@pytest.mark.parametrize("userblock", [0, 1024])
@pytest.mark.parametrize("layout", ["contiguous", "chunked", "packed", "shuffled", "lzf"])
@pytest.mark.parametrize("field", ["x", "text"])
@pytest.mark.parametrize("length", [3 << 30, 35, 38])
def test_a_length_that_is_not_that_of_the_object_is_refused(path_of, layout, userblock, field, length):
    path = path_of(layout, userblock)
    before = struct.pack("<I", 37 if field == "x" else 36)  # of row 36
    with h5py.File(path, "r+") as file:
        layout = row_of(file["a"].id)
        place = layout.values[("x", "text").index(field)].offset
        replaced(file["a"], path, 36 * layout.n_bytes + place, before, struct.pack("<I", length))
    with pytest.raises(InputError, match=r"in a file of|has not so many"):
        check(path)


def replaced(table, path, place, before, after):
    """Write other bytes at a place in the rows of a table."""
    if table.chunks is None:
        at = table.id.get_offset() + place
        table.file.close()
        content = bytearray(path.read_bytes())
        assert content[at : at + len(before)] == before
        content[at : at + len(after)] = after
        path.write_bytes(content)
        return
    row_bytes = row_of(table.id).n_bytes
    chunk_bytes = table.chunks[0] * row_bytes
    first = place // chunk_bytes * table.chunks[0]
    opaque = np.dtype(f"V{row_bytes}")
    options = {name: getattr(table, name) for name in ("chunks", "compression", "shuffle", "fletcher32")}
    scratch = table.file.create_dataset("scratch", table.chunks, opaque, **options)
    scratch.id.write_direct_chunk((0,), table.id.read_direct_chunk((first,))[1])
    content = bytearray(scratch[()].tobytes())
    at = place % chunk_bytes
    assert content[at : at + len(before)] == before
    content[at : at + len(after)] = after
    scratch[()] = np.frombuffer(bytes(content), opaque)
    scratch.file.flush()
    table.id.write_direct_chunk((first,), scratch.id.read_direct_chunk((0,))[1])


def test_values_that_are_the_same_count_each_time(path_of):
    path = path_of("chunked")
    with h5py.File(path, "r+") as file:
        table = file.create_dataset("b", (4000,), KIND, chunks=(4000,))
        table[0] = (1, np.ones(1000, np.float32), "z")
        row_bytes = row_of(table.id).n_bytes
        first = table.id.read_direct_chunk((0,))[1][:row_bytes]
        table.id.write_direct_chunk((0,), first * 4000)
    with h5py.File(path) as file, pytest.raises(InputError, match="claim 16000000 bytes"):
        check_lengths(file["b"].id, path)


def test_chunks_that_cannot_be_unpacked_are_refused(path_of):
    path = path_of("packed")
    with h5py.File(path, "r+") as file:
        file["a"].id.write_direct_chunk((8,), b"these are no bytes of zlib")
    with pytest.raises(InputError, match="cannot be read"):
        check(path)


def test_values_in_the_head_of_a_dataset_cannot_be_checked(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_layout(h5py.h5d.COMPACT)
        kind = h5py.h5t.py_create(h5py.string_dtype(), logical=True)
        h5py.h5d.create(file.id, b"a", kind, h5py.h5s.create_simple((2,)), plist)
    with pytest.raises(InputError, match="in its head"):
        check(path)


def test_values_within_values_are_refused_when_a_file_is_opened(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("a", (1,), h5py.vlen_dtype(h5py.string_dtype()))
    with pytest.raises(InputError, match="values of variable length within others"):
        open_hdf5(path)


def test_chunks_are_unpacked_a_few_at_a_time(tmp_path):
    path, n_rows = tmp_path / "a.h5", 3 * UNPACKED_BYTES // (16 * 1024)
    with h5py.File(path, "w") as file:
        file.create_dataset("a", (n_rows * 1024,), h5py.string_dtype(), chunks=(1024,), compression="gzip")
        for n in range(n_rows):
            content = np.zeros(1024, "<u4, V12")
            content["f0"] = 0
            file["a"].id.write_direct_chunk((1024 * n,), zlib.compress(content.tobytes()))
    check(path)


def test_a_chunk_needs_evidence_however_little_of_it_is_used(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        made = file.create_dataset("a", (3,), "u1", maxshape=(None,), chunks=(1 << 30,), compression="gzip")
        made.id.write_direct_chunk((0,), zlib.compress(bytes(3)))
    with pytest.raises(InputError, match="has chunks of 1073741824 bytes"):
        open_hdf5(path)
