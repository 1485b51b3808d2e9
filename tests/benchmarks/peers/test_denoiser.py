"""The network with a gradient has the values of the one without."""

import pytest
import torch

from nilatron.core.prior.edm_weights import load_prior
from nilatron.core.prior.weights import shipped_weights
from peers.denoiser import CountedDenoiser, denoise_with_gradient

TINY = shipped_weights("tiny")


@pytest.fixture(scope="module")
def denoiser():
    return load_prior(TINY).denoiser


def image(seed):
    return torch.randn((1, 40, 36), dtype=torch.complex64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.slow
@pytest.mark.parametrize("sigma", [1e-4, 0.1, 2.0, 50.0])
def test_values_are_those_of_denoise(denoiser, sigma):
    x = 0.5 * image(0)
    torch.testing.assert_close(
        denoise_with_gradient(denoiser, x, sigma), denoiser.denoise(x, sigma), rtol=1e-4, atol=1e-5
    )


def test_the_gradient_is_the_slope(denoiser):
    x, along, weight = 0.5 * image(1), 0.003 * image(2), image(3)

    def value(at):
        return (weight.conj() * denoise_with_gradient(denoiser, at, 0.3)).real.sum()

    at = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(value(at), at)
    slope = float((gradient.conj() * along).real.sum())
    assert slope == pytest.approx(float(value(x + along) - value(x - along)) / 2, rel=0.05)


def test_evaluations_are_counted_without_the_first():
    counted = CountedDenoiser(TINY, (1, 40, 36))
    counted(image(0).numpy(), 0.1)
    counted.differentiable(image(0), 0.1)
    assert counted.n_evaluations == 2
