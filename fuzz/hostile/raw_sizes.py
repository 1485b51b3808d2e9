"""Raw files that claim to be much larger than they are."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np

from hostile.entering import hostile, raw, scan

GIGA = 1 << 30


@hostile("raw")
def a_header_of_1500_mb_never_written(folder: Path) -> Path:
    with scan(folder) as file:
        del file["dataset/xml"]
        file.create_dataset("dataset/xml", (1500 << 20,), "u1", chunks=(1 << 20,))
    return raw(folder)


@hostile("raw")
def a_header_of_1500_mb_in_one_text(folder: Path) -> Path:
    with scan(folder) as file:
        del file["dataset/xml"]
        file.create_dataset("dataset/xml", (1,), f"S{1500 << 20}")
    return raw(folder)


@hostile("raw")
def a_header_of_zeros_that_were_packed(folder: Path) -> Path:
    with scan(folder) as file:
        del file["dataset/xml"]
        made = file.create_dataset("dataset/xml", (1 << 30,), "u1", chunks=(1 << 24,), compression="gzip")
        packed = zlib.compress(bytes(1 << 24), 9)
        for n in range(64):
            made.id.write_direct_chunk((n << 24,), packed)
    return raw(folder)


@hostile("raw")
def a_thousand_texts_that_are_one(folder: Path) -> Path:
    with scan(folder) as file:
        del file["dataset/xml"]
        file.create_dataset("dataset/xml", (4000,), "S1000000", chunks=(1,), compression="gzip")
    return raw(folder)


@hostile("raw")
def lines_never_written(folder: Path) -> Path:
    with scan(folder) as file:
        kind = file["dataset/data"].dtype
        del file["dataset/data"]
        file.create_dataset("dataset/data", (1 << 28,), kind, chunks=(1 << 12,))
    return raw(folder)


@hostile("raw")
def a_line_of_a_gigabyte(folder: Path) -> Path:
    with scan(folder) as file:
        head = file["dataset/data"].dtype["head"]
        del file["dataset/data"]
        kind = np.dtype([("head", head), ("data", "f4", (GIGA // 4,))])
        file.create_dataset("dataset/data", (8,), kind, chunks=(1,))
    return raw(folder)


@hostile("raw")
def lines_beyond_all_numbers(folder: Path) -> Path:
    with scan(folder) as file:
        kind = file["dataset/data"].dtype
        del file["dataset/data"]
        file.create_dataset("dataset/data", (1 << 52,), kind, chunks=(1 << 12,))
    return raw(folder)
