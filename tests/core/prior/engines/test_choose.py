import pytest
import torch

from nilatron.core.prior.engines.cache import NoCache
from nilatron.core.prior.engines.choose import EngineSettings, engine_for, model_precision, read_weights
from nilatron.core.prior.engines.onnx.file import OnnxModel
from nilatron.core.prior.engines.packages import EngineError
from nilatron.core.prior.weights import WeightsError, shipped_weights


def test_the_label_names_engine_and_precision(tiny):
    assert engine_for(tiny, EngineSettings(precision="fp32"), "cpu").label == "torch fp32"
    assert engine_for(tiny, EngineSettings(precision="bf16"), "cpu").label == "torch bf16"


def test_tensorrt_without_a_gpu_is_torch(tiny):
    engine = engine_for(tiny, EngineSettings("tensorrt", "fp32"), "cpu")
    assert engine.label == "torch fp32 (tensorrt absent: no GPU)"
    assert engine.denoiser is tiny.denoiser


def test_files_are_told_apart_by_their_ending(tmp_path, linear):
    (tmp_path / "d.ONNX").write_bytes(linear.content)
    assert read_weights(tmp_path / "d.ONNX", "cpu") == linear
    assert read_weights(shipped_weights("tiny"), "cpu").metadata["licence"]
    (tmp_path / "d.safetensors").write_bytes(linear.content)
    with pytest.raises(WeightsError, match="not a readable safetensors file"):
        read_weights(tmp_path / "d.safetensors", "cpu")


def test_onnx_files_that_cannot_be_read(tmp_path, monkeypatch):
    with pytest.raises(WeightsError, match=r"no ONNX file at .*nilatron export"):
        read_weights(tmp_path / "absent.onnx", "cpu")
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(WeightsError, match=r"no ONNX file .*it is a folder"):
        read_weights(tmp_path / "folder.onnx", "cpu")
    (tmp_path / "empty.onnx").touch()
    with pytest.raises(WeightsError, match=r"empty\.onnx is damaged"):
        read_weights(tmp_path / "empty.onnx", "cpu")
    (tmp_path / "large.onnx").write_bytes(b"0" * 101)
    monkeypatch.setattr("nilatron.core.prior.weights.MAX_FILE_BYTES", 100)
    with pytest.raises(WeightsError, match="101 bytes, more than the 100"):
        read_weights(tmp_path / "large.onnx", "cpu")


@pytest.mark.parametrize(
    ("engine", "package", "label"),
    [
        ("torch", "onnxruntime", "onnx fp32"),
        ("onnx", "onnxruntime", "onnx fp32"),
        ("openvino", "openvino", "openvino fp32"),
        ("tensorrt", "onnxruntime", "onnx fp32 (tensorrt absent: no GPU)"),
    ],
)
def test_an_onnx_file_runs_in_every_engine(linear, linear_answer, images, engine, package, label):
    pytest.importorskip(package, reason=f"{package} is not installed")
    made = engine_for(linear, EngineSettings(engine, "fp32"), "cpu")
    assert made.label == label
    s = torch.tensor([0.2])
    torch.testing.assert_close(made.denoiser(images, s), linear_answer(images, s), rtol=1e-5, atol=0)


def test_the_precision_of_a_file_is_its_own(linear):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    with pytest.raises(EngineError, match="the ONNX file is fp32, precision fp16 was asked for"):
        engine_for(linear, EngineSettings("onnx", "fp16"), "cpu")


def test_our_network_is_exported_in_the_precision_of_the_engine(tiny, linear, cache, monkeypatch):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    asked = []

    def cached(prior, precision, cache):
        asked.append((prior, precision, cache))
        return OnnxModel(linear.content, linear.facts, linear.sha256)

    monkeypatch.setattr("nilatron.core.prior.engines.onnx.export.cached_onnx", cached)
    engine_for(tiny, EngineSettings("onnx"), "cpu")
    engine_for(tiny, EngineSettings("onnx"), "cpu", lambda: cache)
    assert asked == [(tiny, "fp32", NoCache()), (tiny, "fp32", cache)]


def test_torch_asks_for_no_cache(tiny):
    assert engine_for(tiny, EngineSettings("torch", "fp32"), "cpu", pytest.fail).denoiser is tiny.denoiser


@pytest.mark.parametrize(
    ("engine", "precision", "device", "expected"),
    [
        ("onnx", "auto", "cpu", "fp32"),
        ("onnx", "auto", "cuda", "fp16"),
        ("onnx", "fp32", "cuda", "fp32"),
        ("tensorrt", "auto", "cuda", "fp16"),
        ("tensorrt", "fp16", "cuda", "fp16"),
        ("openvino", "bf16", "cpu", "fp32"),
    ],
)
def test_precision_of_the_model(monkeypatch, engine, precision, device, expected):
    monkeypatch.setattr("nilatron.core.prior.engines.settings.is_installed", lambda _: True)
    assert model_precision(EngineSettings(engine, precision), device) == expected


@pytest.mark.parametrize(("precision", "device"), [("bf16", "cpu"), ("bf16", "cuda"), ("fp16", "cpu")])
def test_precisions_that_an_engine_lacks_are_refused(monkeypatch, precision, device):
    monkeypatch.setattr("nilatron.core.prior.engines.settings.is_installed", lambda _: True)
    with pytest.raises(EngineError, match="use"):
        model_precision(EngineSettings("onnx", precision), device)
