"""Against a stand-in for TensorRT that computes on the CPU: addresses, shapes and what happens when it fails."""

from dataclasses import replace

import pytest
import torch

from nilatron.core.prior.edm import denoise_complex
from nilatron.core.prior.engines import tensorrt_engine as module
from nilatron.core.prior.engines.cache import NoCache
from nilatron.core.prior.engines.engine import Engine
from nilatron.core.prior.engines.onnx.export import cached_onnx
from nilatron.core.prior.engines.packages import EngineError
from nilatron.core.prior.engines.tensorrt_build import Builder, Gpu
from nilatron.core.prior.engines.tensorrt_engine import TensorRTDenoiser, tensorrt_engine
from nilatron.core.sampling.schedule import karras_schedule


def instead(x, _):
    return torch.full_like(x, 7.0)


def launch(context, device):
    assert device == torch.device("cpu")
    context.execute_async_v3(0)


@pytest.fixture
def denoiser(trt, linear, cache):
    return TensorRTDenoiser(Builder(trt, linear, Gpu("H100", "9.0"), cache), instead, launch)


def test_a_known_denoiser(denoiser, linear_answer, images, trt):
    for s in (torch.tensor([0.1]), torch.tensor([0.1, 0.3, 0.01])):
        x = images.contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(denoiser(x, s), linear_answer(images, s), rtol=1e-6, atol=0)
    assert trt.built == [(3, 2, 8, 12)]
    assert (denoiser.sigma_data, denoiser.multiple, denoiser.remark()) == (0.25, 4, "")


def test_a_self_conditioned_denoiser(linear, linear_answer, images, trt, cache):
    model = replace(linear, n_inputs=4)
    denoiser = TensorRTDenoiser(Builder(trt, model, Gpu("H100", "9.0"), cache), instead, launch)
    s = torch.tensor([0.1])
    x = torch.cat((images, torch.ones_like(images)), dim=1).contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(denoiser(x, s), linear_answer(images, s), rtol=1e-6, atol=0)
    assert (trt.built, denoiser.n_inputs) == ([(3, 4, 8, 12)], 4)


def test_a_shape_that_cannot_be_built_is_left_to_the_other_engine(denoiser, trt, images, caplog):
    trt.refused.add((3, 2, 8, 12))
    assert torch.equal(denoiser(images, torch.tensor([0.1])), instead(images, None))
    assert "tensorrt failed for 3x8x12: TensorRT cannot build" in denoiser.remark()
    caplog.clear()
    denoiser(images, torch.tensor([0.1]))
    assert caplog.text == ""  # tried once
    assert not torch.equal(denoiser(images[:1], torch.tensor([0.1])), instead(images[:1], None))


def test_a_failing_launch_is_left_to_the_other_engine(trt, linear, cache, images):
    def fail(*_):
        raise RuntimeError("illegal memory access")

    denoiser = TensorRTDenoiser(Builder(trt, linear, Gpu("H100", "9.0"), cache), instead, fail)
    assert torch.equal(denoiser(images, torch.tensor([0.1])), instead(images, None))
    assert "illegal memory access" in denoiser.remark()


def test_the_oldest_shapes_go(denoiser, monkeypatch, trt):
    monkeypatch.setattr(module, "MAX_SHAPES", 2)
    for n in (1, 2, 1, 3, 1, 2):
        denoiser(torch.zeros(n, 2, 8, 8), torch.tensor([0.1]))
    assert trt.loads == 4  # 1, 2, 3 in place of 2, 2 in place of 3
    assert len(trt.built) == 3  # what went came back from the cache


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_without_gpu_or_package_the_other_engine_runs(device, monkeypatch, caplog):
    def absent(_):
        raise EngineError("the package tensorrt is not installed")

    monkeypatch.setattr(module, "import_package", absent)
    engine = tensorrt_engine(pytest.fail, device, Engine(instead, "torch bf16"), pytest.fail)
    why = "no GPU" if device == "cpu" else "the package tensorrt is not installed"
    assert engine.denoiser is instead
    assert engine.label == f"torch bf16 (tensorrt absent: {why})"
    assert "torch bf16 computes in its place" in caplog.text


def test_the_label_tells_of_later_failures(trt, linear, monkeypatch, cache, images):
    monkeypatch.setattr(module, "import_package", lambda _: trt)
    monkeypatch.setattr(module, "this_gpu", lambda: Gpu("H100", "9.0"))
    monkeypatch.setattr(module, "launch_on_stream", launch)
    engine = tensorrt_engine(lambda: linear, "cuda", Engine(instead, "torch bf16"), lambda: cache)
    assert engine.label == "tensorrt fp32"
    trt.refused.add((3, 2, 8, 12))
    engine.denoiser(images, torch.tensor([0.1]))
    assert engine.label.startswith("tensorrt fp32 (tensorrt failed for 3x8x12")


@pytest.mark.gpu
@pytest.mark.parametrize("size", [(64, 64), (115, 90), (256, 320)])
def test_the_network_agrees_with_torch_on_a_gpu(tiny, kept, size):
    pytest.importorskip("tensorrt", reason="tensorrt is not installed")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    builder = Builder(module.import_package("tensorrt"), cached_onnx(tiny, "fp16", kept), module.this_gpu(), NoCache())
    channels = TensorRTDenoiser(builder, instead)
    y, x = (torch.linspace(-1, 1, n) for n in size)
    image = torch.exp(-4 * (y[:, None] ** 2 + x[None, :] ** 2)).to(torch.complex64)
    for sigma in (*karras_schedule(8, 0.5, 0.03), 0.01):
        noise = torch.randn(size, dtype=torch.complex64, generator=torch.Generator().manual_seed(1))
        expected = denoise_complex(tiny.denoiser, image + sigma * noise, sigma)
        found = denoise_complex(channels, (image + sigma * noise).cuda(), sigma).cpu()
        assert float((found - expected).norm() / expected.norm()) < 1e-2
    assert channels.remark() == ""
