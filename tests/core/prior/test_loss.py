import pytest
import torch

from nilatron.core.prior.edm import SIGMA_RANGE, EDMDenoiser
from nilatron.core.prior.loss import NoiseDistribution, denoising_loss, draw_sigma
from nilatron.core.prior.unet import UNetConfig


def test_levels_stay_in_the_trained_range_around_their_median():
    s = draw_sigma(20_000, torch.Generator().manual_seed(0), NoiseDistribution(-2.2, 1.3))
    assert float(s.min()) >= SIGMA_RANGE[0]
    assert float(s.max()) <= SIGMA_RANGE[1]
    assert float(s.log().median()) == pytest.approx(-2.2, abs=0.05)
    assert float(s.log().std()) == pytest.approx(1.3, abs=0.05)


def test_a_distribution_without_width_is_refused():
    with pytest.raises(ValueError, match="ln_std must be positive, got 0"):
        NoiseDistribution(ln_std=0)


@pytest.mark.parametrize("level", [0.01, 0.1, 1.0])
def test_white_data_cost_one_at_every_level(level):
    """The untrained network is optimal for white data of variance sigma_data^2, where EDM's weight makes the loss 1."""
    generator = torch.Generator().manual_seed(0)
    denoiser = EDMDenoiser(UNetConfig((8,), (1,), 8), 0.25)
    clean = 0.25 * torch.randn(8, 2, 64, 64, generator=generator)
    noise = torch.randn(clean.shape, generator=generator)
    loss = denoising_loss(denoiser, clean, torch.full((8,), level), noise)
    assert float(loss.detach()) == pytest.approx(1, abs=0.03)
