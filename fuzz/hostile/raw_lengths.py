"""Raw files whose values of variable length, or chunks, claim to be much longer than the file."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import h5py
import numpy as np

from hostile.entering import hostile, raw, scan

MANY = 4000


def packed(file: h5py.File, name: str, rows: np.ndarray, kind: np.dtype) -> h5py.Dataset:
    """A dataset of the file, anew in compressed chunks of four rows."""
    del file[name]
    return file.create_dataset(name, data=rows, dtype=kind, chunks=(min(4, len(rows)),), compression="gzip")


def lengthen(table: h5py.Dataset, field: str | None, length: int = 3 << 30) -> None:
    """Write a length over that of a field in the first row; without a field over that of the row."""
    rows = table.id.get_type()
    place = rows.get_member_offset(rows.get_member_index(field.encode())) if field else 0
    content = bytearray(zlib.decompress(table.id.read_direct_chunk((0,))[1]))
    content[place : place + 4] = struct.pack("<I", length)
    table.id.write_direct_chunk((0,), zlib.compress(bytes(content)))


@hostile("raw")
def packed_lines_of_three_gigabytes(folder: Path) -> Path:
    with scan(folder) as file:
        lines = file["dataset/data"]
        lengthen(packed(file, "dataset/data", lines[:], lines.dtype), "data")
    return raw(folder)


@hostile("raw")
def packed_trajectories_of_twelve_gigabytes(folder: Path) -> Path:
    with scan(folder) as file:
        lines = file["dataset/data"]
        lengthen(packed(file, "dataset/data", lines[:], lines.dtype), "traj")
    return raw(folder)


@hostile("raw")
def packed_waveforms_of_twelve_gigabytes(folder: Path) -> Path:
    with scan(folder) as file:
        waves = file["dataset/waveforms"]
        lengthen(packed(file, "dataset/waveforms", waves[:], waves.dtype), "data")
    return raw(folder)


@hostile("raw")
def a_packed_header_of_three_gigabytes(folder: Path) -> Path:
    with scan(folder) as file:
        xml = np.array([bytes(file["dataset/xml"][0])], object)
        lengthen(packed(file, "dataset/xml", xml, h5py.string_dtype()), None)
    return raw(folder)


@hostile("raw")
def packed_lines_that_are_shorter_than_what_lies_there(folder: Path) -> Path:
    with scan(folder) as file:
        lines = file["dataset/data"]
        lengthen(packed(file, "dataset/data", lines[:], lines.dtype), "data", 1)
    return raw(folder)


@hostile("raw")
def a_heap_without_end(folder: Path) -> Path:
    with scan(folder) as file:
        del file["dataset/xml"]
        made = file.create_dataset("dataset/xml", (1,), h5py.string_dtype())
        made[0] = b"<ismrmrdHeader/>"
        place = made.id.get_offset()
    content = bytearray(raw(folder).read_bytes())
    (heap,) = struct.unpack_from("<Q", content, place + 4)
    (first_bytes,) = struct.unpack_from("<Q", content, heap + 24)
    rest = heap + 32 + (first_bytes + 7) // 8 * 8
    content[rest : rest + 16] = bytes(16)  # the rest of it is of no bytes, and index 0
    raw(folder).write_bytes(content)
    return raw(folder)


@hostile("raw")
def lines_that_are_all_the_same_samples(folder: Path) -> Path:
    with scan(folder) as file:
        lines = file["dataset/data"]
        rows = np.repeat(lines[:1], MANY)
        kind = lines.dtype
        del file["dataset/data"]
        table = file.create_dataset("dataset/data", (MANY,), kind, chunks=(MANY,))
        rows["data"][0] = np.ones(1 << 17, np.float32)
        table[0] = rows[0]
        content = bytearray(table.id.read_direct_chunk((0,))[1])
        row_bytes = len(content) // MANY
        table.id.write_direct_chunk((0,), bytes(content[:row_bytes]) * MANY)
    return raw(folder)


@hostile("raw")
def values_within_values(folder: Path) -> Path:
    with scan(folder) as file:
        del file["dataset/xml"]
        file.create_dataset("dataset/xml", (1,), h5py.vlen_dtype(h5py.vlen_dtype("u1")))
    return raw(folder)


@hostile("raw")
def three_lines_in_a_chunk_of_a_gigabyte(folder: Path) -> Path:
    with scan(folder) as file:
        rows = file["dataset/data"][:3]
        kind = np.dtype([("head", rows.dtype["head"]), ("data", np.float32, (96,))])
        del file["dataset/data"]
        n_rows = (1200 << 20) // kind.itemsize
        options = {"maxshape": (None,), "chunks": (n_rows,), "compression": "gzip"}
        table = file.create_dataset("dataset/data", (3,), kind, **options)
        made = np.zeros(3, kind)
        made["head"] = rows["head"]
        packer = zlib.compressobj(9)
        parts = [packer.compress(made.tobytes())]
        left, zeros = (n_rows - 3) * kind.itemsize, bytes(1 << 24)
        while left:
            parts.append(packer.compress(zeros[: min(left, len(zeros))]))
            left -= min(left, len(zeros))
        table.id.write_direct_chunk((0,), b"".join([*parts, packer.flush()]))
    return raw(folder)
