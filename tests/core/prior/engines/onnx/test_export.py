import copy
from importlib.util import find_spec

import pytest
import torch

from nilatron.core.prior.edm import EDMDenoiser, denoise_complex
from nilatron.core.prior.edm_weights import EDMPrior
from nilatron.core.prior.engines.cache import NoCache
from nilatron.core.prior.engines.onnx.engine import OnnxDenoiser
from nilatron.core.prior.engines.onnx.export import cached_onnx, export_onnx, lower_for_export
from nilatron.core.prior.unet import UNetConfig
from nilatron.core.sampling.schedule import karras_schedule

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
# importing it takes more than a second, which tests that do not export need not wait for
pytestmark = pytest.mark.skipif(find_spec("onnxscript") is None, reason="onnxscript is not installed")


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(2)
    denoiser = EDMDenoiser(UNetConfig((8, 16), (1, 1), 16), 0.25)
    for parameter in denoiser.parameters():
        torch.nn.init.normal_(parameter, std=0.15)
    return EDMPrior(denoiser.eval().requires_grad_(False), {"licence": "MIT", "architecture": "left out"}, "cd" * 32)


def relative_error(channels, reference, size, sigma):
    generator = torch.Generator().manual_seed(4)
    y, x = (torch.linspace(-1, 1, n) for n in size)
    image = torch.exp(-4 * (y[:, None] ** 2 + x[None, :] ** 2)) * torch.exp(1j * y[:, None])
    noisy = image + sigma * torch.randn((2, *size), dtype=torch.complex64, generator=generator)
    expected = denoise_complex(reference, noisy, sigma)
    return float((denoise_complex(channels, noisy, sigma) - expected).norm() / expected.norm())


@pytest.mark.slow
@pytest.mark.parametrize("size", [(64, 64), (115, 90), (96, 128)])
def test_the_exported_network_agrees_with_torch_at_all_levels(tiny, kept, size):
    model = cached_onnx(tiny, "fp32", kept)
    session = OnnxDenoiser(model, "cpu")
    assert (session.sigma_data, session.multiple) == (tiny.denoiser.sigma_data, tiny.denoiser.multiple)
    for sigma in (*karras_schedule(8, 0.5, 0.03), 0.01, 0.001):
        assert relative_error(session, tiny.denoiser, size, sigma) < 2e-5


@pytest.mark.slow
def test_the_exported_network_takes_an_estimate_made_before(tiny, kept):
    session = OnnxDenoiser(cached_onnx(tiny, "fp32", kept), "cpu")
    assert session.n_inputs == tiny.denoiser.n_inputs == 4
    x, before = torch.randn((2, 2, 41, 52), dtype=torch.complex64, generator=torch.Generator().manual_seed(6))
    found, expected = (denoise_complex(channels, x, 0.1, before) for channels in (session, tiny.denoiser))
    assert float((found - expected).norm() / expected.norm()) < 2e-5
    alone = denoise_complex(session, x, 0.1)
    assert float((alone - found).norm() / alone.norm()) > 1e-3


@pytest.mark.slow
def test_the_file_says_where_it_comes_from(tiny, kept):
    facts = cached_onnx(tiny, "fp32", kept).facts
    assert facts.weights_sha256 == tiny.sha256
    assert facts.notes["licence"] == tiny.metadata["licence"]
    assert facts.notes["data"] == tiny.metadata["data"]
    assert "architecture" not in facts.notes


@pytest.mark.slow
def test_half_precision_is_that_of_the_convolutions_alone(small):
    model = export_onnx(small, "fp16")
    assert model.facts.precision == "fp16"
    graph = onnx.shape_inference.infer_shapes(onnx.load_from_string(model.content), strict_mode=True).graph
    kinds = {value.name: value.type.tensor_type.elem_type for value in (*graph.value_info, *graph.input, *graph.output)}
    kinds |= {tensor.name: tensor.data_type for tensor in graph.initializer}
    half, full = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT
    seen = {node.op_type: kinds[node.input[0]] for node in graph.node}
    assert seen["Conv"] == half
    assert {seen[name] for name in ("InstanceNormalization", "Log", "Gemm", "Sigmoid", "Sqrt")} == {full}
    assert kinds["d"] == full
    (last,) = (node for node in graph.node if "d" in node.output)
    assert {kinds[name] for name in last.input} == {full}  # c_skip x + c_out F
    assert relative_error(OnnxDenoiser(model, "cpu"), small.denoiser, (40, 52), 0.05) < 1e-3


def test_rounding_to_half_precision_stays_small(tiny):
    rounded = copy.deepcopy(tiny.denoiser)
    lower_for_export(rounded.network, torch.float16)
    for sigma in (0.5, 0.01):
        assert 0 < relative_error(rounded, tiny.denoiser, (40, 52), sigma) < 2e-3


def test_the_prior_stays_as_it_was(small):
    before = {name: value.clone() for name, value in small.denoiser.state_dict().items()}
    lower_for_export(copy.deepcopy(small.denoiser).network, torch.float16)
    assert all(torch.equal(value, before[name]) for name, value in small.denoiser.state_dict().items())


def test_a_model_is_exported_once(linear, cache, monkeypatch, small):
    exported = []

    def export(prior, precision):
        exported.append((prior.sha256, precision))
        return linear

    monkeypatch.setattr("nilatron.core.prior.engines.onnx.export.export_onnx", export)
    for _ in range(2):
        assert cached_onnx(small, "fp32", cache).content == linear.content
    assert exported == [("cd" * 32, "fp32")]
    cached_onnx(small, "fp16", cache)
    assert exported[1:] == [("cd" * 32, "fp16")]
    cached_onnx(small, "fp32", NoCache())
    assert len(exported) == 3


def test_a_cached_model_of_another_format_is_made_again(linear, cache, monkeypatch, small, caplog):
    monkeypatch.setattr("nilatron.core.prior.engines.onnx.export.export_onnx", lambda *_: linear)
    cached_onnx(small, "fp32", cache)
    cache.entries = dict.fromkeys(cache.entries, b"whole, but no model")
    assert cached_onnx(small, "fp32", cache).content == linear.content
    assert "it is made again" in caplog.text
