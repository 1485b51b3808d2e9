import math
from dataclasses import replace

import pytest
import torch

from nilatron.core.prior.edm import MARGIN, EDMDenoiser, reflect_pad, without_padding
from nilatron.core.prior.unet import UNetConfig

CONFIG = UNetConfig(channels=(8, 16), blocks=(1, 1), embedding=16)


@pytest.fixture
def denoiser():
    torch.manual_seed(0)
    return EDMDenoiser(CONFIG, sigma_data=0.25).eval()


def randomise(denoiser):
    with torch.no_grad():
        for parameter in denoiser.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))


def test_an_untrained_network_is_the_wiener_filter_of_white_data(denoiser):
    """The last layer starts at zero, so D = c_skip x = sigma_data^2 / (s^2 + sigma_data^2) x with s = sigma / sqrt(2)."""
    x = torch.randn(2, 1, 32, 32, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    sigma = 0.3
    expected = x * 0.25**2 / (sigma**2 / 2 + 0.25**2)
    assert torch.allclose(denoiser.denoise(x, sigma), expected, atol=1e-6)


def test_no_noise_leaves_the_image_alone(denoiser):
    randomise(denoiser)
    x = torch.randn(1, 48, 48, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    assert float((denoiser.denoise(x, 1e-6) - x).abs().max()) < 0.05


@pytest.mark.parametrize("shape", [(1, 1), (3, 17), (64, 64), (230, 181)])
def test_any_matrix_size_comes_back_finite(denoiser, shape):
    randomise(denoiser)
    x = torch.randn(1, *shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    out = denoiser.denoise(x, 0.1)
    assert out.shape == x.shape
    assert torch.isfinite(torch.view_as_real(out)).all()


def test_noise_above_the_trained_range_takes_the_linear_part(denoiser):
    randomise(denoiser)
    x = 50 * torch.randn(1, 16, 16, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(denoiser.denoise(x, 50.0), x * 0.25**2 / (50**2 / 2 + 0.25**2))


def test_batch_elements_do_not_see_each_other(denoiser):
    randomise(denoiser)
    x = torch.randn(3, 1, 32, 32, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    together, alone = denoiser.denoise(x, 0.1), denoiser.denoise(x[1:2], 0.1)
    assert torch.allclose(together[1:2], alone, atol=1e-5)


@pytest.mark.parametrize("side", [1, 2, 5, 16, 17])
def test_padding_reflects_around_the_image_up_to_a_multiple(side):
    x = torch.arange(side, dtype=torch.float32)[None, None, :, None].expand(1, 1, side, side)
    padded = reflect_pad(x, 16)
    assert padded.shape[-2:] == (math.ceil((side + 2 * MARGIN) / 16) * 16,) * 2
    assert torch.equal(without_padding(padded, side, side), x)
    near = (padded.shape[-2] - side) // 2
    if side > 1:
        assert torch.equal(padded[..., near - 1, :], padded[..., near + 1, :])


def test_a_global_phase_turns_the_output(denoiser):
    randomise(denoiser)
    x = torch.randn(2, 24, 20, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    turn = torch.polar(torch.ones(2), torch.tensor([0.7, -2.0]))[:, None, None]
    assert torch.allclose(denoiser.denoise(turn * x, 0.2), turn * denoiser.denoise(x, 0.2), atol=1e-5)


@pytest.fixture
def self_conditioned():
    torch.manual_seed(0)
    denoiser = EDMDenoiser(replace(CONFIG, self_conditioned=True), sigma_data=0.25).eval()
    randomise(denoiser)
    return denoiser


def test_a_self_conditioned_network_uses_the_estimate_made_before(self_conditioned):
    x, before = torch.randn(2, 1, 24, 20, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    alone, found = self_conditioned.denoise(x, 0.2), self_conditioned.denoise(x, 0.2, before)
    assert float((found - alone).norm() / alone.norm()) > 0.01
    turn = torch.polar(torch.ones(()), torch.tensor(0.7))
    assert torch.allclose(self_conditioned.denoise(turn * x, 0.2, turn * before), turn * found, atol=1e-5)


def test_without_an_estimate_made_before_the_image_stands_in(self_conditioned):
    x = torch.randn(1, 24, 20, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    alone = self_conditioned.denoise(x, 0.2)
    assert torch.equal(self_conditioned.denoise(x, 0.2, x), alone)
    channels = torch.randn(3, 2, 16, 16, generator=torch.Generator().manual_seed(1))
    s = torch.full((3,), 0.1)
    assert torch.equal(self_conditioned(channels, s), self_conditioned(torch.cat((channels, channels), dim=1), s))


def test_another_network_ignores_it(denoiser):
    randomise(denoiser)
    x, before = torch.randn(2, 1, 24, 20, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(denoiser.denoise(x, 0.2, before), denoiser.denoise(x, 0.2))


def test_a_data_scale_of_zero_is_refused():
    with pytest.raises(ValueError, match="must be positive, got 0"):
        EDMDenoiser(CONFIG, 0.0)
