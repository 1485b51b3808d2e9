"""Files to import, streams that come over a pipe, and tables that steer a batch, which mean harm."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path

import h5py
import numpy as np
from ismrmrd.xsd import ToXML
from job_targets import pair

from hostile.arrays import npy
from hostile.entering import ELSEWHERE, SCAN, hostile
from nilatron.pipelines.simulation.simulate import simulate_items
from nilatron.pipelines.stream import v1

SHAPE = (1, 2, 16, 12)


def kspace(path: Path) -> h5py.File:
    """A file in the layout of fastMRI, open for changes."""
    file = h5py.File(path, "w")
    file["kspace"] = np.ones(SHAPE, np.complex64)
    return file


@hostile("kspace")
def kspace_never_written(folder: Path) -> Path:
    with h5py.File(folder / "k.h5", "w") as file:
        file.create_dataset("kspace", (400, 64, 512, 512), np.complex64, chunks=(1, 1, 512, 512))
    return folder / "k.h5"


@hostile("kspace")
def kspace_elsewhere(folder: Path) -> Path:
    with h5py.File(folder / ELSEWHERE, "w") as other:
        other["kspace"] = np.ones(SHAPE, np.complex64)
    with h5py.File(folder / "k.h5", "w") as file:
        file["kspace"] = h5py.ExternalLink(ELSEWHERE, "kspace")
    return folder / "k.h5"


@hostile("kspace")
def kspace_of_texts_as_a_mask(folder: Path) -> Path:
    with kspace(folder / "k.h5") as file:
        file.create_dataset("mask", data=["x"] * SHAPE[-1], dtype=h5py.string_dtype())
    return folder / "k.h5"


@hostile("kspace")
def kspace_with_a_header_of_a_long_length(folder: Path) -> Path:
    path = folder / "k.h5"
    with kspace(path) as file:
        file.create_dataset("ismrmrd_header", (1,), h5py.string_dtype())[0] = "<ismrmrdHeader/>"
        place = file["ismrmrd_header"].id.get_offset()
    with path.open("r+b") as raw:
        raw.seek(place)
        raw.write(struct.pack("<I", 3 << 30))
    return path


@hostile("kspace")
def kspace_with_a_reference_of_lists(folder: Path) -> Path:
    with kspace(folder / "k.h5") as file:
        file.create_dataset("reconstruction_rss", (1, 4, 4), h5py.vlen_dtype(np.float32))
    return folder / "k.h5"


@hostile("array")
def a_kspace_array_of_a_terabyte(folder: Path) -> Path:
    shape = "{'descr': '<c8', 'fortran_order': False, 'shape': (1000000, 512, 512), }"
    return npy(folder / "k.npy", shape, bytes(4096))


@hostile("array")
def a_kspace_array_that_nobody_acquired(folder: Path) -> Path:
    np.save(folder / "k.npy", np.zeros((2, 2, 8, 8), np.complex64))
    return folder / "k.npy"


@hostile("array")
def a_kspace_array_of_objects(folder: Path) -> Path:
    text = "{'descr': '|O', 'fortran_order': False, 'shape': (2, 2, 2), }"
    return npy(folder / "k.npy", text, b"cos\nsystem\n(S'true'\ntR.")


def _bart(folder: Path, header: bytes, n_bytes: int = 64) -> Path:
    (folder / "a.bart").write_bytes(pair(header, bytes(n_bytes)))
    return folder / "a.bart"


@hostile("bart")
def a_pair_of_terabytes(folder: Path) -> Path:
    return _bart(folder, b"# Dimensions\n512 512 512 1024\n")


@hostile("bart")
def a_pair_whose_product_wraps_around(folder: Path) -> Path:
    return _bart(folder, b"# Dimensions\n4294967296 4294967296 1 8\n", 0)


@hostile("bart")
def a_pair_of_long_numbers(folder: Path) -> Path:
    return _bart(folder, b"# Dimensions\n" + b"9" * 100_000 + b" 2 1 2\n")


@hostile("bart")
def a_pair_of_many_axes(folder: Path) -> Path:
    return _bart(folder, b"# Dimensions\n" + b"1 " * 100_000 + b"\n", 8)


@hostile("bart")
def a_pair_without_a_header(folder: Path) -> Path:
    return _bart(folder, b"\x1b[2J", 0)


@hostile("bart")
def a_pair_without_a_coil(folder: Path) -> Path:
    return _bart(folder, b"# Dimensions\n0 0 1 0\n", 0)


def _stream(folder: Path, *, xml: str = "", content: bytes = b"") -> Path:
    header, _ = simulate_items(SCAN)
    file = io.BytesIO()
    v1.Outgoing(file).begin((xml or ToXML(header)).encode())
    (folder / "scan.mrd1").write_bytes(file.getvalue() + content)
    return folder / "scan.mrd1"


@hostile("stream")
def a_stream_whose_header_has_two_gigabytes(folder: Path) -> Path:
    (folder / "scan.mrd1").write_bytes(struct.pack("<HI", 3, (1 << 31) - 1) + b"<")
    return folder / "scan.mrd1"


@hostile("stream")
def a_stream_whose_matrix_has_terabytes(folder: Path) -> Path:
    header, _ = simulate_items(SCAN)
    xml = ToXML(header).replace("<y>20</y>", "<y>60000</y>").replace("<x>24</x>", "<x>60000</x>")
    return _stream(folder, xml=xml.replace("<z>1</z>", "<z>60000</z>"))


@hostile("stream")
def a_second_stream_of_a_schema_without_end(folder: Path) -> Path:
    path = folder / "scan.mrd2"
    path.write_bytes(b"yardl\1\0\0\0" + b"\xff\xff\xff\xff\x0f" + b'{"protocol":' * 1000)
    return path


@hostile("stream")
def a_second_stream_of_a_schema_that_nests(folder: Path) -> Path:
    schema = b"[" * 200_000
    length = bytes((len(schema) >> 7 * n & 127) | (128 if n < 2 else 0) for n in range(3))
    (folder / "scan.mrd2").write_bytes(b"yardl\1\0\0\0" + length + schema)
    return folder / "scan.mrd2"


@hostile("table")
def a_table_of_one_long_cell(folder: Path) -> Path:
    (folder / "t.csv").write_text("file\n" + "a" * 1_000_000 + "\n")
    return folder / "t.csv"


@hostile("table")
def a_table_with_a_quote_without_end(folder: Path) -> Path:
    (folder / "t.csv").write_text('file,seed\n"' + "a.h5\n" * 50_000)
    return folder / "t.csv"


@hostile("table")
def a_table_whose_seed_has_many_digits(folder: Path) -> Path:
    (folder / "t.csv").write_text("file,seed\na.h5," + "9" * 100_000 + "\n")
    return folder / "t.csv"


@hostile("table")
def a_table_of_nothing_but_zeros(folder: Path) -> Path:
    (folder / "t.csv").write_bytes(b"file\n" + bytes(100_000))
    return folder / "t.csv"


@hostile("table")
def a_table_that_names_a_chain_elsewhere(folder: Path) -> Path:
    (folder / ELSEWHERE).write_bytes(b"swordfish" * 1000)
    (folder / "t.csv").write_text("file,config\na.h5,../../../etc/passwd\n")
    return folder / "t.csv"


@hostile("record")
def a_record_that_nests(folder: Path) -> Path:
    (folder / "r.json").write_text("[" * 200_000)
    return folder / "r.json"


@hostile("record")
def a_record_of_another_kind(folder: Path) -> Path:
    (folder / "r.json").write_text(json.dumps({"fingerprint": 1, "recipe": [], "stamp": {}, "row": {"slices": "x"}}))
    return folder / "r.json"
