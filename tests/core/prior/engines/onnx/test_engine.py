from types import SimpleNamespace

import pytest
import torch

from nilatron.core.prior.engines.onnx import engine as module
from nilatron.core.prior.engines.onnx.engine import OnnxDenoiser, graph_inputs, onnx_engine
from nilatron.core.prior.engines.onnx.file import OnnxModel
from nilatron.core.prior.engines.packages import EngineError

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")


def test_a_known_denoiser(linear, linear_answer, images):
    engine = onnx_engine(linear, "cpu")
    assert engine.label == "onnx fp32"
    assert (engine.denoiser.sigma_data, engine.denoiser.multiple) == (0.25, 4)
    for s in (torch.tensor([0.1]), torch.tensor([0.1, 0.3, 0.01])):
        torch.testing.assert_close(engine.denoiser(images, s), linear_answer(images, s), rtol=1e-6, atol=0)


def test_any_memory_layout_and_inference_mode(linear, linear_answer, images):
    session = OnnxDenoiser(linear, "cpu")
    with torch.inference_mode():
        s = torch.full((1,), 0.2)
        found = session(images.contiguous(memory_format=torch.channels_last), s)
        torch.testing.assert_close(found, linear_answer(images, s), rtol=1e-6, atol=0)


def test_memory_is_handed_over_as_it_is(linear, linear_answer, images):
    session = OnnxDenoiser(linear, "cpu")  # the way of a GPU, with the CPU's memory
    s = torch.tensor([0.1, 0.3, 0.01])
    torch.testing.assert_close(session._in_place(images, s), linear_answer(images, s), rtol=1e-6, atol=0)


def test_graph_inputs_are_what_the_file_asks_for(images):
    x, s = graph_inputs(images.to(torch.float64).transpose(2, 3), torch.tensor([0.1], dtype=torch.float64))
    assert x.is_contiguous()
    assert s.is_contiguous()
    assert (x.dtype, s.dtype, tuple(s.shape)) == (torch.float32, torch.float32, (3,))


def test_as_many_threads_as_torch(linear, monkeypatch):
    opened = []
    monkeypatch.setattr(module, "open_session", lambda *arguments: opened.append(arguments[1:]))
    OnnxDenoiser(linear, "cpu")
    OnnxDenoiser(linear, "cpu", 7)
    assert opened == [("cpu", torch.get_num_threads()), ("cpu", 7)]


def test_a_model_that_the_runtime_refuses(linear, capfd):
    broken = OnnxModel(b"no model", linear.facts, linear.sha256)
    with pytest.raises(EngineError, match="the model cannot be loaded: ONNX Runtime"):
        OnnxDenoiser(broken, "cpu")
    assert capfd.readouterr().out == ""  # stdout belongs to the protocol


def test_images_that_the_model_refuses(linear):
    session = OnnxDenoiser(linear, "cpu")
    with pytest.raises(RuntimeError, match="ONNX Runtime"):
        session(torch.zeros(1, 3, 8, 8), torch.ones(1))


def test_a_runtime_without_the_device(linear, monkeypatch):
    runtime = SimpleNamespace(get_available_providers=lambda: ["CPUExecutionProvider"])
    monkeypatch.setattr(module, "import_package", lambda _: runtime)
    with pytest.raises(EngineError, match="no CUDAExecutionProvider: install onnxruntime-gpu"):
        OnnxDenoiser(linear, "cuda")
