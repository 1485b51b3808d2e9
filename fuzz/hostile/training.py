"""HDF5 files of training images."""

from __future__ import annotations

import struct
from pathlib import Path

import h5py
import ismrmrd.hdf5
import numpy as np

from hostile.entering import ELSEWHERE, hostile


@hostile("images")
def training_images_never_written(folder: Path) -> Path:
    path = folder / "images.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("reconstruction_rss", (200, 4096, 4096), "f4", chunks=(1, 4096, 4096))
    return path


@hostile("images")
def training_images_elsewhere(folder: Path) -> Path:
    with h5py.File(folder / ELSEWHERE, "w") as other:
        other["image"] = np.ones((3, 16, 16), np.float32)
    path = folder / "images.h5"
    with h5py.File(path, "w") as file:
        file["reconstruction_rss"] = h5py.ExternalLink(ELSEWHERE, "image")
    return path


@hostile("images")
def training_series_without_a_head(folder: Path) -> Path:
    path = folder / "images.h5"
    with h5py.File(path, "w") as file:
        file.create_group("a/header")
        file["a/data"] = np.zeros((3, 1, 1, 8, 8), np.float32)
        file["b/data"] = np.zeros((3, 1, 1, 8, 8), np.float32)
        file["b/header"] = h5py.Empty(ismrmrd.hdf5.image_header_dtype)
    return path


@hostile("images")
def training_images_of_long_lists(folder: Path) -> Path:
    path = folder / "images.h5"
    with h5py.File(path, "w") as file:
        made = file.create_dataset("reconstruction_rss", (1, 1, 1), h5py.vlen_dtype(np.float32))
        made[0, 0, 0] = np.ones(4, np.float32)
        place = made.id.get_offset()
    with path.open("r+b") as raw:
        raw.seek(place)
        raw.write(struct.pack("<I", 3 << 28))
    return path
