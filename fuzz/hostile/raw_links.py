"""Raw files whose numbers lie elsewhere, or whose groups lead in circles."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from hostile.entering import ELSEWHERE, SCAN, hostile, raw, scan
from nilatron.pipelines.simulation.simulate import simulate


@hostile("raw")
def external_link_to_the_header(folder: Path) -> Path:
    with h5py.File(folder / ELSEWHERE, "w") as other:
        other["xml"] = b"<secret/>"
    simulate(raw(folder), SCAN)
    with h5py.File(raw(folder), "r+") as file:
        del file["dataset/xml"]
        file["dataset/xml"] = h5py.ExternalLink(ELSEWHERE, "xml")
    return raw(folder)


@hostile("raw")
def external_link_to_the_scan(folder: Path) -> Path:
    with h5py.File(folder / ELSEWHERE, "w") as other:
        other.create_group("dataset")
    with h5py.File(raw(folder), "w") as file:
        file["dataset"] = h5py.ExternalLink(ELSEWHERE, "dataset")
    return raw(folder)


@hostile("raw")
def external_link_by_a_soft_link(folder: Path) -> Path:
    with scan(folder) as file:
        file["aside/there"] = h5py.ExternalLink(ELSEWHERE, "/")
        del file["dataset/xml"]
        file["dataset/xml"] = h5py.SoftLink("/aside/there/xml")
    return raw(folder)


@hostile("raw")
def external_storage_of_the_header(folder: Path) -> Path:
    with scan(folder) as file:
        del file["dataset/xml"]
        file.create_dataset("dataset/xml", (900,), "S1", external=[(str(folder / ELSEWHERE), 0, 900)])
    return raw(folder)


@hostile("raw")
def external_storage_of_the_lines(folder: Path) -> Path:
    with scan(folder) as file:
        kind = np.dtype([("head", file["dataset/data"].dtype["head"]), ("data", np.float32, (96,))])
        del file["dataset/data"]
        file.create_dataset("dataset/data", (2,), kind, external=[(str(folder / ELSEWHERE), 0, 2 * kind.itemsize)])
    return raw(folder)


@hostile("raw")
def virtual_lines(folder: Path) -> Path:
    with h5py.File(folder / ELSEWHERE, "w") as other:
        other["data"] = np.arange(9000, dtype="u1")
    simulate(raw(folder), SCAN)
    with h5py.File(raw(folder), "r+") as file:
        del file["dataset/xml"]
        layout = h5py.VirtualLayout((900,), "u1")
        layout[:] = h5py.VirtualSource(str(folder / ELSEWHERE), "data", (9000,))[:900]
        file.create_virtual_dataset("dataset/xml", layout)
    return raw(folder)


@hostile("raw")
def references_as_a_header(folder: Path) -> Path:
    with scan(folder) as file:
        del file["dataset/xml"]
        file.create_dataset("dataset/xml", (1,), h5py.ref_dtype)[0] = file["dataset/data"].ref
    return raw(folder)


@hostile("raw")
def region_references_as_lines(folder: Path) -> Path:
    with scan(folder) as file:
        head = file["dataset/data"].dtype["head"]
        del file["dataset/data"]
        kind = np.dtype([("head", head), ("data", h5py.regionref_dtype)])
        file.create_dataset("dataset/data", (3,), kind)
    return raw(folder)


@hostile("raw")
def soft_links_in_a_circle(folder: Path) -> Path:
    with scan(folder) as file:
        del file["dataset/xml"]
        file["dataset/xml"], file["dataset/other"] = h5py.SoftLink("/dataset/other"), h5py.SoftLink("/dataset/xml")
    return raw(folder)


@hostile("raw")
def a_group_that_is_its_own_header(folder: Path) -> Path:
    with scan(folder) as file:
        del file["dataset/xml"]
        file["dataset/xml"] = file["dataset"]
    return raw(folder)
