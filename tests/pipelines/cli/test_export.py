"""`nilatron export`, and reconstructions by the engines."""

from importlib.util import find_spec

import h5py
import ismrmrd
import numpy as np
import pytest
import torch

from nilatron.core.prior.edm import EDMDenoiser
from nilatron.core.prior.edm_weights import save_prior
from nilatron.core.prior.engines.onnx import export as onnx_export
from nilatron.core.prior.unet import UNetConfig
from nilatron.pipelines.cli.export import parse_size
from nilatron.pipelines.prior.export import SIGMAS

for package in ("onnx", "onnxruntime"):
    pytest.importorskip(package, reason=f"{package} is not installed")
pytestmark = pytest.mark.skipif(find_spec("onnxscript") is None, reason="onnxscript is not installed")


@pytest.fixture
def weights(tmp_path):
    """Of a network as small as can be: exporting takes seconds."""
    torch.manual_seed(0)
    denoiser = EDMDenoiser(UNetConfig((8,), (1,), 8), 0.25)
    for parameter in denoiser.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    path = tmp_path / "small.safetensors"
    save_prior(path, denoiser, {"licence": "CC0"})
    return path


@pytest.fixture
def exports(monkeypatch, tmp_path):
    """Weights that were exported, with a cache of our own."""
    exported, export = [], onnx_export.export_onnx
    monkeypatch.setattr(onnx_export, "export_onnx", lambda prior, *to: exported.append(prior) or export(prior, *to))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user_cache"))
    return exported


def main_images(path):
    with h5py.File(path) as file:
        meta = ismrmrd.Meta.deserialize(file["images/image_1/attributes"][0].decode())
        return file["images/image_1/data"][()].astype(float), meta


@pytest.mark.slow
def test_export_and_replay_with_the_file(command, raw, folder, weights, exports, one_line, monkeypatch, tmp_path):
    monkeypatch.setattr("nilatron.pipelines.prior.export.SIZES", ((64, 64), (61, 45)))
    code, out, err = command("export", folder / "d.onnx", "--weights", weights)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].endswith("at most 0.001 allowed:")
    assert lines[1].split() == ["sigma", "64x64", "61x45"]
    assert len(lines) == 1 + 1 + len(SIGMAS) + 1 + 1
    assert all(float(error) < 1e-4 for line in lines[2:-1] for error in line.split()[1:])
    assert lines[-1].startswith(f"{folder / 'd.onnx'}: {(folder / 'd.onnx').stat().st_size} bytes, sha256 ")

    code, _, err = command("export", folder / "d.onnx", "--weights", weights)
    assert code == 2
    assert "--overwrite" in one_line(err)

    words = ("-G", "images", "--set", "precision=fp32")
    labels = {}
    for name, more in {
        "torch": ("--weights", weights),
        "onnx": ("--weights", weights, "--engine", "onnx"),
        "tensorrt": ("--weights", weights, "--engine", "tensorrt"),
        "file": ("--weights", folder / "d.onnx"),
    }.items():
        assert command("replay", raw, "-o", folder / f"{name}.h5", *words, *more)[0] == 0
        labels[name] = main_images(folder / f"{name}.h5")[1]["nilatron_engine"]
    assert labels == {
        "torch": "torch fp32",
        "onnx": "onnx fp32",
        "tensorrt": "torch fp32 (tensorrt absent: no GPU)",
        "file": "onnx fp32",
    }
    expected = main_images(folder / "torch.h5")[0]
    for name in ("onnx", "file"):
        found = main_images(folder / f"{name}.h5")[0]
        assert np.linalg.norm(found - expected) < 1e-3 * np.linalg.norm(expected)
    assert len(exports) == 1
    assert [path.name[:5] for path in (tmp_path / "user_cache" / "nilatron").iterdir()] == ["onnx-"]


def test_a_damaged_file_is_one_line(command, raw, folder, one_line):
    (folder / "d.onnx").write_bytes(b"damaged")
    code, _, err = command("replay", raw, "-o", folder / "out.h5", "--weights", folder / "d.onnx")
    assert code == 2
    assert "is damaged" in one_line(err)
    assert [path.name for path in folder.iterdir()] == ["d.onnx"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--set", "engine=caffe"), "engine must be one of torch, onnx, openvino, tensorrt, got 'caffe'"),
        (("--engine", "onnx", "--set", "precision=bf16"), "engine onnx computes in fp32 or fp16"),
        (("--engine", "onnx", "-c", "cg_sense"), "no property 'engine'"),
        (("--engine", "onnx", "--address", "127.0.0.1:1"), "--engine"),
    ],
)
def test_engines_that_cannot_be_used(command, raw, folder, one_line, more, message):
    code, _, err = command("replay", raw, "-o", folder / "out.h5", *more)
    assert code == 2
    assert message in one_line(err)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("d.onnx", "--weights", "huge"), "huge"),
        (("d.pt",), "has to end in .onnx"),
        (("d.onnx", "-o", "e.onnx"), "give one ONNX file to write: -o OUT"),
        ((), "give one ONNX file to write: -o OUT"),
        (("d.onnx", "--tensorrt", "256"), "--tensorrt expects a size such as 256x256"),
        (("d.onnx", "--weights", "tiny", "--tensorrt", "256x256"), "tensorrt"),
        (("no/folder/d.onnx", "--weights", "tiny"), "the folder"),
    ],
)
def test_exports_that_cannot_be(command, tmp_path, monkeypatch, one_line, words, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    code, _, err = command("export", *words)
    assert code == 2
    assert message in one_line(err)
    assert list(tmp_path.iterdir()) == []


def test_sizes():
    assert parse_size("256x320") == (1, 256, 320)
    assert parse_size("8*230x180") == (8, 230, 180)
