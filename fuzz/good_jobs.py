"""Small good files that are imported, come over a pipe, or steer a batch; and all good ones."""

from __future__ import annotations

import io
import json
from dataclasses import asdict
from pathlib import Path

import h5py
import numpy as np
from good_files import GOOD, SCAN, good
from ismrmrd.xsd import ToXML
from job_targets import pair
from seeds import mrd2_bytes

from nilatron.pipelines.batch.rows import Row
from nilatron.pipelines.simulation.simulate import SimulationSettings, simulate_items
from nilatron.pipelines.stream import v1
from nilatron.pipelines.stream.recorded import open_incoming
from nilatron.pipelines.stream.run import StreamSettings, reconstruct

__all__ = ["GOOD"]

SHAPE = (2, 2, 16, 12)  # slice, coil, readout, phase encoding
Complex = np.ndarray[tuple[int, ...], np.dtype[np.complex64]]


def _kspace(shape: tuple[int, ...] = SHAPE) -> Complex:
    rng = np.random.default_rng(1)
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)


@good("kspace")
def fastmri_file(folder: Path) -> Path:
    """A file in the layout of fastMRI, every second line of it acquired."""
    header, _ = simulate_items(SimulationSettings(matrix=(8, 12, 1), n_coils=2, n_slices=2))
    with h5py.File(folder / "k.h5", "w") as file:
        mask = np.arange(SHAPE[-1]) % 2 == 0
        file["kspace"], file["mask"] = _kspace() * mask, mask
        file["reconstruction_rss"] = np.ones((2, 8, 8), np.float32)
        file["ismrmrd_header"] = ToXML(header)
    return folder / "k.h5"


@good("kspace")
def packed_kspace(folder: Path) -> Path:
    """One without mask and header, compressed."""
    with h5py.File(folder / "k.h5", "w") as file:
        file.create_dataset("kspace", data=_kspace(), compression="gzip", chunks=(1, *SHAPE[1:]))
    return folder / "k.h5"


@good("array")
def kspace_array(folder: Path) -> Path:
    """An npy file of slices, coils, y and x."""
    np.save(folder / "k.npy", _kspace())
    return folder / "k.npy"


@good("array")
def turned_array(folder: Path) -> Path:
    """One of complex128 in the order of Fortran."""
    np.save(folder / "k.npy", np.asfortranarray(_kspace().astype(np.complex128)))
    return folder / "k.npy"


@good("bart")
def bart_pair(folder: Path) -> Path:
    """X 16, y 12, two coils."""
    kspace = _kspace((2, 1, 12, 16))
    (folder / "a.bart").write_bytes(pair(b"# Dimensions\n16 12 1 2 1 1 1 1 1 1 1 1 1 1 1 1\n", kspace.tobytes()))
    return folder / "a.bart"


@good("stream")
def first_stream(folder: Path) -> Path:
    """A scan as MRD v1."""
    header, items = simulate_items(SCAN)
    with (folder / "scan.mrd1").open("wb") as file:
        outgoing = v1.Outgoing(file)
        outgoing.begin(ToXML(header).encode())
        for item in items:
            outgoing.send(item)
        outgoing.end()
    return folder / "scan.mrd1"


@good("stream")
def second_stream(folder: Path) -> Path:
    """The same as MRD v2."""
    header, items = simulate_items(SCAN)
    (folder / "scan.mrd2").write_bytes(mrd2_bytes("2.1", ToXML(header), list(items)))
    return folder / "scan.mrd2"


@good("stream")
def noise_stream(folder: Path) -> Path:
    """A noise covariance as MRD v2."""
    with second_stream(folder).open("rb") as file:
        settings = StreamSettings("zero_filled", noise_out=folder / "noise.mrd2")
        reconstruct(open_incoming(file, "stdin"), v1.Outgoing(io.BytesIO()), settings)
    return folder / "noise.mrd2"


@good("table")
def table(folder: Path) -> Path:
    """A table of files with settings of their own."""
    text = "file,seed,group,config,weights,noise\na.h5,1,,zero_filled,,\nb.h5,,dataset,cg_sense,tiny,\n"
    (folder / "t.csv").write_text(text)
    return folder / "t.csv"


@good("record")
def record(folder: Path) -> Path:
    """A finished output."""
    row = Row(file="a.h5", output="a.h5")
    text = json.dumps({"fingerprint": "0" * 64, "recipe": "a", "stamp": "1 2", "row": asdict(row)})
    (folder / "r.json").write_text(text)
    return folder / "r.json"
