"""The rules of replaying, with a recorder that needs no GPU; a real graph where there is one."""

import logging

import pytest
import torch

from nilatron.core.prior.edm import EDMDenoiser
from nilatron.core.prior.edm_weights import load_prior
from nilatron.core.prior.engines.cuda_graph import CudaGraphDenoiser, Recording
from nilatron.core.prior.engines.engine import MAX_SHAPES
from nilatron.core.prior.unet import UNetConfig
from nilatron.core.prior.weights import shipped_weights

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(scope="module")
def denoiser():
    return load_prior(shipped_weights("tiny")).denoiser


class Recorder:
    """Replays by computing into the memory of the recording, as a graph does."""

    def __init__(self, factor=1.0):
        self.n, self.factor = 0, factor

    def __call__(self, denoiser, x, s):
        self.n += 1
        x, s = x.clone(), s.clone()
        out = denoiser(x, s)
        return Recording(x, s, out, lambda: out.copy_(self.factor * denoiser(x, s)))


def inputs(n, side, s, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 2, side, side, generator=generator), torch.tensor([s])


@torch.inference_mode()
def test_replays_are_what_the_network_gives_and_each_shape_is_recorded_once(denoiser):
    recorder = Recorder()
    graphed = CudaGraphDenoiser(denoiser, recorder)
    for seed, (n, side, s) in enumerate([(1, 32, 0.1), (2, 32, 0.3), (1, 32, 0.02), (1, 48, 0.1), (2, 32, 0.1)]):
        x, level = inputs(n, side, s, seed)
        torch.testing.assert_close(graphed(x, level), denoiser(x, level))
    assert recorder.n == 3
    assert graphed.remark() == ""
    assert (graphed.sigma_data, graphed.multiple) == (denoiser.sigma_data, denoiser.multiple)


@torch.inference_mode()
def test_a_self_conditioned_network():
    torch.manual_seed(0)
    denoiser = EDMDenoiser(UNetConfig((8,), (1,), 8, self_conditioned=True), 0.25)
    for parameter in denoiser.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    graphed = CudaGraphDenoiser(denoiser, Recorder())
    assert graphed.n_inputs == 4
    x, s = inputs(2, 16, 0.1)
    for before in (x, torch.zeros_like(x)):
        seen = torch.cat((x, before), dim=1)
        torch.testing.assert_close(graphed(seen, s), denoiser(seen, s))


@torch.inference_mode()
def test_a_result_outlives_the_next_call(denoiser):
    graphed = CudaGraphDenoiser(denoiser, Recorder())
    x, s = inputs(1, 32, 0.1)
    first = graphed(x, s)
    kept = first.clone()
    graphed(-x, s)
    assert torch.equal(first, kept)


@pytest.mark.slow
@torch.inference_mode()
def test_memory_is_bounded(denoiser):
    recorder = Recorder()
    graphed = CudaGraphDenoiser(denoiser, recorder)
    for n in (*range(1, MAX_SHAPES + 2), 1):
        graphed(*inputs(n, 8, 0.1))
    assert recorder.n == MAX_SHAPES + 2


@torch.inference_mode()
def test_without_a_recording_the_network_computes(denoiser, caplog):
    def unable(*_):
        raise RuntimeError("operation not permitted when stream is capturing")

    graphed = CudaGraphDenoiser(denoiser, unable)
    x, s = inputs(1, 32, 0.1)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert torch.equal(graphed(x, s), denoiser(x, s))
    assert caplog.text.count("not permitted") == 1
    assert "no CUDA graph for (1, 2, 32, 32): operation not permitted" in graphed.remark()


@torch.inference_mode()
def test_a_recording_that_gives_something_else_is_not_used(denoiser, caplog):
    x, s = inputs(1, 32, 0.1)
    graphed = CudaGraphDenoiser(denoiser, Recorder(factor=1.1))
    with caplog.at_level(logging.WARNING):
        assert torch.equal(graphed(x, s), denoiser(x, s))
    assert "differs by 0.1" in caplog.text
    assert "differs by 0.1" in graphed.remark()


@pytest.mark.gpu
@torch.inference_mode()
def test_a_real_graph_gives_what_the_network_gives():
    denoiser = load_prior(shipped_weights("tiny"), "cuda").denoiser
    graphed = CudaGraphDenoiser(denoiser)
    for seed, n in enumerate((1, 8, 1)):
        x, s = (tensor.cuda() for tensor in inputs(n, 64, 0.1, seed))
        torch.testing.assert_close(graphed(x, s), denoiser(x, s), rtol=1e-3, atol=1e-4)
    assert graphed.remark() == ""
