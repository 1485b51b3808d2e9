"""Small good files of every kind that is read, made by the project itself."""

from __future__ import annotations

import gzip
import json
import shutil
from importlib import resources
from pathlib import Path

import h5py
import numpy as np
import safetensors.torch
import torch
from hostile.entering import Maker
from PIL import Image

from nilatron.core.prior.edm import EDMDenoiser
from nilatron.core.prior.edm_weights import FORMAT_WITHOUT_HASH, load_edm, save_prior
from nilatron.core.prior.engines.onnx.export import export_onnx
from nilatron.core.prior.unet import UNetConfig
from nilatron.core.prior.weights import HASH_KEY, content_sha256, read_weights_file
from nilatron.pipelines.replay.run import replay
from nilatron.pipelines.replay.settings import ReplaySettings
from nilatron.pipelines.simulation.simulate import SimulationSettings, simulate

GOOD: dict[str, tuple[str, Maker]] = {}
SCAN = SimulationSettings(matrix=(12, 8, 1), n_coils=2, noise_lines=4, waveform_every=4)


def good(kind: str) -> Maker:
    """Enter a maker under its name."""

    def enter(maker: Maker) -> Maker:
        GOOD[maker.__name__] = (kind, maker)
        return maker

    return enter


@good("raw")
def raw_file(folder: Path) -> Path:
    """A scan with noise lines and waveforms."""
    simulate(folder / "raw.h5", SCAN)
    return folder / "raw.h5"


@good("raw")
def packed_raw_file(folder: Path) -> Path:
    """The same with lines of fixed length, in compressed chunks of several lines."""
    simulate(folder / "other.h5", SCAN)
    with h5py.File(folder / "other.h5") as source, h5py.File(folder / "raw.h5", "w") as file:
        rows = source["dataset/data"][:]
        size = max(len(row) for row in rows["data"])
        kind = np.dtype([("head", rows.dtype["head"]), ("data", "f4", (size,))])
        made = np.zeros(len(rows), kind)
        made["head"] = rows["head"]
        for n, row in enumerate(rows["data"]):
            made["data"][n, : len(row)] = row
        file.create_dataset("dataset/data", data=made, compression="gzip", chunks=(4,))
        file["dataset/xml"] = source["dataset/xml"][:]
    return folder / "raw.h5"


@good("images")
def image_file(folder: Path) -> Path:
    """ISMRMRD images."""
    replay(ReplaySettings(raw_file(folder), folder / "images.h5", "zero_filled", device="cpu"))
    return folder / "images.h5"


@good("images")
def training_file(folder: Path) -> Path:
    """A stack in the layout of fastMRI."""
    with h5py.File(folder / "images.h5", "w") as file:
        file["reconstruction_rss"] = _stack()
    return folder / "images.h5"


@good("images")
def array_file(folder: Path) -> Path:
    """An npy file."""
    np.save(folder / "a.npy", _stack())
    return folder / "a.npy"


@good("images")
def grey_picture(folder: Path) -> Path:
    """A PNG picture of 8 bits."""
    Image.fromarray(_stack()[0].astype(np.uint8)).save(folder / "a.png")
    return folder / "a.png"


@good("images")
def deep_picture(folder: Path) -> Path:
    """One of 16 bits."""
    Image.fromarray((100 * _stack()[0]).astype(np.uint16)).save(folder / "a.png")
    return folder / "a.png"


@good("images")
def picture_of_a_palette(folder: Path) -> Path:
    """One whose pixels are places in a table of colours."""
    Image.fromarray(_stack()[0].astype(np.uint8)).convert("P").save(folder / "a.png")
    return folder / "a.png"


@good("images")
def volume(folder: Path) -> Path:
    """A NIfTI file."""
    import nibabel

    nibabel.save(nibabel.Nifti1Image(_stack().T, np.eye(4)), folder / "a.nii")
    return folder / "a.nii"


@good("images")
def second_volume(folder: Path) -> Path:
    """A NIfTI-2 file."""
    import nibabel

    nibabel.save(nibabel.Nifti2Image(_stack().T, np.eye(4)), folder / "a.nii")
    return folder / "a.nii"


@good("images")
def packed_volume(folder: Path) -> Path:
    """A compressed NIfTI file."""
    packed = folder / "a.nii.gz"
    packed.write_bytes(gzip.compress(volume(folder).read_bytes(), mtime=0))
    return packed


def _stack() -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.random.default_rng(1).uniform(1, 200, (3, 8, 10)).astype(np.float32)


def _network() -> EDMDenoiser:
    torch.manual_seed(1)
    return EDMDenoiser(UNetConfig((8,), (1,), 16), 0.5)


@good("weights")
def weights_file(folder: Path) -> Path:
    """Weights of a network of a few kB."""
    save_prior(folder / "w.safetensors", _network(), {"licence": "none"})
    return folder / "w.safetensors"


@good("weights")
def weights_without_hash(folder: Path) -> Path:
    """The same in the format that needs no hash."""
    file = read_weights_file(weights_file(folder))
    texts = {name: text for name, text in file.metadata.items() if name != HASH_KEY}
    safetensors.torch.save_file(file.load(), folder / "w.safetensors", texts | {"format": FORMAT_WITHOUT_HASH})
    return folder / "w.safetensors"


@good("weights")
def checkpoint_file(folder: Path) -> Path:
    """A checkpoint of a training."""
    tensors = {"model.a": torch.ones(4, 4)}
    texts = {"format": "nilatron-checkpoint-1", "step": "3", "settings": json.dumps({"steps": 9}), "sigma_data": "0.5"}
    texts |= {"images_sha256": "0" * 64, "started_from": ""}
    texts[HASH_KEY] = content_sha256(tensors, texts)
    safetensors.torch.save_file(tensors, folder / "w.safetensors", texts)
    return folder / "w.safetensors"


@good("network")
def exported_weights(folder: Path) -> Path:
    """The network as an ONNX file of ours."""
    path = folder / "n.onnx"
    path.write_bytes(export_onnx(load_edm(read_weights_file(weights_file(folder))), "fp32").content)
    return path


@good("toml")
def settings_file(folder: Path) -> Path:
    """Settings of a training."""
    text = "steps = 9\nbatch_size = 2\n[augment]\nscale = [0.5, 1.5]\n[scans]\nper_step = 1\n"
    (folder / "s.toml").write_text(text)
    return folder / "s.toml"


@good("toml")
def server_settings_file(folder: Path) -> Path:
    """Settings of a server."""
    (folder / "s.toml").write_text('port = 9002\nhost = "::1"\nidle_s = 9.5\nfire = true\nconfig_dir = ["a", "b"]\n')
    return folder / "s.toml"


@good("chain")
def chain_file(folder: Path) -> Path:
    """The chain `nila_after_gadgetron`, which has stock gadgets."""
    with resources.as_file(resources.files("nilatron.xml_configs") / "nila_after_gadgetron.xml") as path:
        shutil.copy(path, folder / "c.xml")
    return folder / "c.xml"


@good("dicom")
def dicom_file(folder: Path) -> Path:
    """Patient and study."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID, data.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.4", "1.2.3.4"
    data.PatientName, data.PatientID, data.PatientSize, data.OtherPatientIDs = "A^B=C", "7", "1.8", ["a", "b"]
    data.StudyInstanceUID, data.StudyDate, data.StudyTime = "1.2.3", "20200101", "101010.5"
    data.save_as(folder / "a.dcm", enforce_file_format=True)
    return folder / "a.dcm"
