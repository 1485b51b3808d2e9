"""Raw files of types that no scan has."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from hostile.entering import hostile, raw, scan


@hostile("raw")
def a_header_of_no_type_of_numpy(folder: Path) -> Path:
    with scan(folder) as file:
        del file["dataset/xml"]
        space = h5py.h5s.create_simple((4,))
        h5py.h5d.create(file["dataset"].id, b"xml", h5py.h5t.UNIX_D32LE, space)
    return raw(folder)


@hostile("raw")
def lines_of_nested_compounds(folder: Path) -> Path:
    with scan(folder) as file:
        del file["dataset/data"]
        kind = h5py.h5t.NATIVE_INT8
        for _ in range(600):
            outer = h5py.h5t.create(h5py.h5t.COMPOUND, 1)
            outer.insert(b"a", 0, kind)
            kind = outer
        h5py.h5d.create(file["dataset"].id, b"data", kind, h5py.h5s.create_simple((3,)))
    return raw(folder)


@hostile("raw")
def a_header_without_a_value(folder: Path) -> Path:
    with scan(folder) as file:
        del file["dataset/xml"]
        file["dataset/xml"] = h5py.Empty("S10")
    return raw(folder)


@hostile("raw")
def lines_without_extent(folder: Path) -> Path:
    with scan(folder) as file:
        kind = file["dataset/data"].dtype
        del file["dataset/data"]
        file["dataset/data"] = h5py.Empty(kind)
    return raw(folder)


@hostile("raw")
def a_header_of_numbers(folder: Path) -> Path:
    with scan(folder) as file:
        del file["dataset/xml"]
        file["dataset/xml"] = np.arange(12.0).reshape(3, 4)
    return raw(folder)


@hostile("raw")
def a_header_of_compounds(folder: Path) -> Path:
    with scan(folder) as file:
        del file["dataset/xml"]
        file["dataset/xml"] = np.zeros(2, [("a", "f4"), ("b", "S4")])
    return raw(folder)


@hostile("raw")
def heads_that_are_numbers(folder: Path) -> Path:
    with scan(folder) as file:
        del file["dataset/data"]
        file["dataset/data"] = np.zeros(3, [("head", "f8"), ("data", "f4", (4,))])
    return raw(folder)


@hostile("raw")
def heads_of_variable_length(folder: Path) -> Path:
    with scan(folder) as file:
        del file["dataset/data"]
        file.create_dataset("dataset/data", (3,), [("head", h5py.vlen_dtype("f4")), ("data", h5py.vlen_dtype("f4"))])
    return raw(folder)


@hostile("raw")
def samples_that_are_texts(folder: Path) -> Path:
    with scan(folder) as file:
        rows = file["dataset/data"][:]
        kind = np.dtype([("head", rows.dtype["head"]), ("data", h5py.string_dtype())])
        changed = np.zeros(len(rows), kind)
        changed["head"], changed["data"] = rows["head"], b"swordfish"
        del file["dataset/data"]
        file.create_dataset("dataset/data", data=changed)
    return raw(folder)


@hostile("raw")
def waveforms_that_are_a_group(folder: Path) -> Path:
    with scan(folder) as file:
        del file["dataset/waveforms"]
        file.create_group("dataset/waveforms/data")
        del file["dataset/xml"]
        file["dataset/xml"] = b"<ismrmrdHeader/>"
    return raw(folder)
