import pytest
import torch

from nilatron.core.prior.edm import denoise_complex
from nilatron.core.prior.engines import openvino_engine as module
from nilatron.core.prior.engines.onnx.export import cached_onnx
from nilatron.core.prior.engines.onnx.file import OnnxFacts, OnnxModel
from nilatron.core.prior.engines.openvino_engine import OpenVINODenoiser, openvino_engine
from nilatron.core.prior.engines.packages import EngineError
from nilatron.core.sampling.schedule import karras_schedule

openvino = pytest.importorskip("openvino", reason="openvino is not installed")


def test_a_known_denoiser(linear, linear_answer, images):
    channels = openvino_engine(linear, "fp32", "cpu").denoiser
    assert (channels.sigma_data, channels.multiple) == (0.25, 4)
    with torch.inference_mode():
        for s in (torch.tensor([0.1]), torch.tensor([0.1, 0.3, 0.01])):
            found = channels(images.contiguous(memory_format=torch.channels_last), s)
            torch.testing.assert_close(found, linear_answer(images, s), rtol=1e-5, atol=0)


def test_results_are_not_overwritten_by_the_next(linear, images):
    channels = OpenVINODenoiser(linear, "fp32")
    first = channels(images, torch.tensor([0.1]))
    kept = first.clone()
    channels(-images, torch.tensor([0.5]))
    assert torch.equal(first, kept)


def test_shapes_are_compiled_once_and_the_oldest_go(linear, monkeypatch):
    compiled, compile_model = [], openvino.Core.compile_model

    def compile_and_count(core, model, *others):
        compiled.append(tuple(model.input("x").shape))
        return compile_model(core, model, *others)

    monkeypatch.setattr(openvino.Core, "compile_model", compile_and_count)
    monkeypatch.setattr(module, "MAX_SHAPES", 2)
    channels = OpenVINODenoiser(linear, "fp32")
    for side in (4, 8, 4, 12, 4, 8):
        channels(torch.zeros(1, 2, 4, side), torch.tensor([0.1]))
    assert [shape[3] for shape in compiled] == [4, 8, 12, 8]


@pytest.mark.slow
@pytest.mark.parametrize("sigma", [*karras_schedule(4, 0.5, 0.03), 0.01])
def test_the_network_agrees_with_torch(tiny, kept, sigma):
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    model = cached_onnx(tiny, "fp32", kept)
    generator = torch.Generator().manual_seed(7)
    y, x = (torch.linspace(-1, 1, n) for n in (61, 90))
    image = torch.exp(-4 * (y[:, None] ** 2 + x[None, :] ** 2)).to(torch.complex64)
    noisy = image + sigma * torch.randn(image.shape, dtype=torch.complex64, generator=generator)
    expected = denoise_complex(tiny.denoiser, noisy, sigma)
    full = denoise_complex(openvino_engine(model, "fp32", "cpu").denoiser, noisy, sigma)
    assert float((full - expected).norm() / expected.norm()) < 1e-4
    lowered = denoise_complex(openvino_engine(model, "bf16", "cpu").denoiser, noisy, sigma)
    assert float((lowered - expected).abs().square().mean().sqrt()) < 0.1 * sigma


def test_auto_takes_bf16_where_the_processor_has_it(linear):
    able = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    assert openvino_engine(linear, "auto", "cpu").label == f"openvino {'bf16' if 'BF16' in able else 'fp32'}"


def test_what_it_cannot_do_is_refused(linear):
    with pytest.raises(EngineError, match="computes on the CPU"):
        openvino_engine(linear, "auto", "cuda")
    with pytest.raises(EngineError, match="takes an fp32 model"):
        openvino_engine(linear, "fp16", "cpu")
    half = OnnxModel(linear.content, OnnxFacts(0.25, 4, "fp16", "0" * 64), linear.sha256)
    with pytest.raises(EngineError, match="a model in fp16"):
        openvino_engine(half, "auto", "cpu")
    with pytest.raises(EngineError, match="OpenVINO refuses the model"):
        OpenVINODenoiser(OnnxModel(b"no model", linear.facts, linear.sha256), "fp32")
