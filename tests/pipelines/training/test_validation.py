import numpy as np
import pytest
import torch

from nilatron.core.prior.edm import EDMDenoiser
from nilatron.core.prior.unet import UNetConfig
from nilatron.pipelines.training.validation import pictures, validate


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(0)
    return [torch.rand((200, 210), generator=generator).to(torch.float16) for _ in range(2)]


@pytest.fixture
def untrained(images):
    rms = float(torch.stack([image.float().square().mean() for image in images]).mean().sqrt())
    return EDMDenoiser(UNetConfig((8,), (1,), 8), rms / 2**0.5).eval()


@pytest.mark.slow
def test_an_untrained_network_has_the_error_of_the_wiener_filter(images, untrained):
    errors = validate(untrained, images, (0.05, 0.2), n_patches=4)
    assert errors == validate(untrained, images, (0.05, 0.2), n_patches=4)
    for sigma, error in errors.items():
        s, c = sigma / 2**0.5, untrained.sigma_data
        assert error == pytest.approx(s * c / (s**2 + c**2) ** 0.5, rel=0.02)


@pytest.mark.slow
def test_pictures_show_held_out_patches_and_samples(images, untrained, monkeypatch):
    monkeypatch.setattr("nilatron.pipelines.training.validation.SAMPLE_SHAPE", (3, 32, 48))
    shown = dict(pictures(untrained, images))
    assert shown["validation"].shape == (3 * 192, 3 * 192)
    assert shown["samples"].shape == (2 * 32, 3 * 48)
    noisy, denoised, clean = (part.astype(float) for part in np.split(shown["validation"], 3, axis=1))
    assert np.mean((noisy - clean) ** 2) > np.mean((denoised - clean) ** 2) > 0
    assert list(dict(pictures(untrained, []))) == ["samples"]
