"""Arrays and volumes to train on or to denoise."""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from hostile.entering import hostile


def npy(path: Path, header: str, content: bytes = b"") -> Path:
    """An npy file with this header."""
    text = header.encode("latin-1") + b"\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + content)
    return path


def _nifti(**fields: Any) -> bytes:
    import nibabel

    image = nibabel.Nifti1Image(np.arange(8 * 8 * 4, dtype=np.float32).reshape(8, 8, 4), np.eye(4))
    for name, value in fields.items():
        image.header[name] = value
    head = bytearray(image.header.binaryblock)
    return bytes(head) + bytes(4) + image.get_fdata().astype("f4").tobytes(order="F")


@hostile("images")
def an_array_of_a_terabyte(folder: Path) -> Path:
    shape = "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 512, 512), }"
    return npy(folder / "a.npy", shape, bytes(4096))


@hostile("images")
def an_array_of_objects(folder: Path) -> Path:
    return npy(
        folder / "a.npy", "{'descr': '|O', 'fortran_order': False, 'shape': (2, 2), }", b"cos\nsystem\n(S'true'\ntR."
    )


@hostile("images")
def an_array_with_a_negative_side(folder: Path) -> Path:
    return npy(folder / "a.npy", "{'descr': '<f4', 'fortran_order': False, 'shape': (-4, 8), }", bytes(4096))


@hostile("images")
def an_array_of_empty_numbers(folder: Path) -> Path:
    return npy(folder / "a.npy", "{'descr': '|V0', 'fortran_order': False, 'shape': (4, 8), }", bytes(4096))


@hostile("images")
def an_array_whose_header_nests(folder: Path) -> Path:
    return npy(folder / "a.npy", "(" * 9000 + ")" * 9000, bytes(64))


@hostile("images")
def an_archive_called_an_array(folder: Path) -> Path:
    path = folder / "a.npy"
    with path.open("wb") as file:
        np.savez_compressed(file, a=np.zeros((4, 4)))
    return path


@hostile("images")
def a_volume_of_terabytes(folder: Path) -> Path:
    path = folder / "a.nii"
    path.write_bytes(_nifti(dim=[3, 30000, 30000, 30000, 1, 1, 1, 1]))
    return path


@hostile("images")
def a_packed_volume_of_terabytes(folder: Path) -> Path:
    path = folder / "a.nii.gz"
    path.write_bytes(gzip.compress(_nifti(dim=[3, 30000, 30000, 2000, 1, 1, 1, 1])))
    return path


@hostile("images")
def a_packed_volume_of_three_gigabytes(folder: Path) -> Path:
    path, size = folder / "a.nii.gz", 1 << 25
    packer, parts = zlib.compressobj(1, wbits=31), []
    parts.append(packer.compress(_nifti(dim=[3, 1024, 1024, 800, 1, 1, 1, 1])[:352]))
    zeros = bytes(size)
    for _ in range(100):
        parts.append(packer.compress(zeros))
    path.write_bytes(b"".join([*parts, packer.flush()]))
    return path


@hostile("images")
def a_volume_in_two_files(folder: Path) -> Path:
    (folder / "a.img").write_bytes(b"swordfish" * 1000)
    path = folder / "a.nii"
    path.write_bytes(_nifti(magic=b"ni1"))
    return path
