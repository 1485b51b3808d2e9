import pytest
import torch

from nilatron.core.prior.edm import denoise_complex
from nilatron.core.prior.edm_weights import load_prior
from nilatron.core.prior.engines import torch_engine as module
from nilatron.core.prior.engines.cuda_graph import CudaGraphDenoiser
from nilatron.core.prior.engines.torch_engine import fastest_dtype, torch_engine
from nilatron.core.prior.weights import shipped_weights
from nilatron.core.sampling.schedule import karras_schedule


@pytest.fixture(scope="module")
def denoiser():
    return load_prior(shipped_weights("tiny")).denoiser


def noisy(shape, sigma):
    generator = torch.Generator().manual_seed(1)
    y, x = (torch.linspace(-1, 1, n) for n in shape)
    image = torch.exp(-4 * (y[:, None] ** 2 + x[None, :] ** 2)) * torch.exp(1j * y[:, None])
    return (image + sigma * torch.randn(shape, dtype=torch.complex64, generator=generator))[None]


@pytest.mark.parametrize("shape", [(64, 64), (61, 90)])
@pytest.mark.parametrize("sigma", karras_schedule(4, 0.5, 0.01))
def test_bf16_changes_the_image_by_far_less_than_the_noise(denoiser, shape, sigma):
    x = noisy(shape, sigma)
    exact = denoise_complex(torch_engine(denoiser, "fp32", "cpu").denoiser, x, sigma)
    lowered = denoise_complex(torch_engine(denoiser, "bf16", "cpu").denoiser, x, sigma)
    error = float((lowered - exact).abs().square().mean().sqrt())
    assert 0 < error < 0.1 * sigma
    assert lowered.dtype == torch.complex64


def test_lowering_leaves_the_prior_as_it_was(denoiser):
    before = {name: value.clone() for name, value in denoiser.state_dict().items()}
    torch_engine(denoiser, "bf16", "cpu")
    assert all(torch.equal(value, before[name]) for name, value in denoiser.state_dict().items())


def test_fp32_is_the_prior_itself(denoiser):
    assert torch_engine(denoiser, "fp32", "cpu").denoiser is denoiser


def test_on_a_gpu_it_is_a_graph(denoiser):
    engine = torch_engine(denoiser, "fp32", "cuda")
    assert isinstance(engine.denoiser, CudaGraphDenoiser)
    assert engine.label == "torch fp32, CUDA graph"


def test_fp16_is_refused_on_a_cpu(denoiser):
    with pytest.raises(ValueError, match="needs a GPU"):
        torch_engine(denoiser, "fp16", "cpu")


@pytest.mark.parametrize(
    ("able", "dtype"),
    [({}, torch.float32), ({"avx512_bf16": True}, torch.bfloat16), ({"amx_bf16": True}, torch.bfloat16)],
)
def test_auto_takes_bf16_where_the_processor_has_it(monkeypatch, able, dtype):
    monkeypatch.setattr(module.torch.cpu, "get_capabilities", lambda: able, raising=False)
    assert fastest_dtype("cpu") == dtype


def test_a_torch_that_does_not_know_its_processor_computes_in_float32(monkeypatch):
    monkeypatch.delattr(module.torch.cpu, "get_capabilities", raising=False)
    assert fastest_dtype("cpu") == torch.float32
