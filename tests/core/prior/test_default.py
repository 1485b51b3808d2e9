"""Laws that the shipped priors keep, whatever they were trained on; images are the project's own phantom."""

import math

import numpy as np
import pytest
import torch

from nilatron.core.phantom import phantom
from nilatron.core.prior.edm_weights import load_prior
from nilatron.core.prior.weights import SHIPPED, shipped_weights

BRAIN = (0.01, 0.35, 0.35)  # a field of view within the brain: structure up to every border


@pytest.fixture(scope="module", params=SHIPPED)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def prior(name):
    return load_prior(shipped_weights(name))


@pytest.fixture(scope="module")
def denoise(prior):
    return prior.denoiser.denoise


def brain(n_y, n_x, field_of_view=BRAIN):
    """A complex slice without background, image scale about 1."""
    image = torch.from_numpy(phantom((1, n_y, n_x), field_of_view)[0])
    return image / float(np.percentile(image.abs().numpy(), 99.5))


def noise(shape, seed=0):
    return torch.randn(shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(seed))


def rms(x):
    return float(x.abs().square().mean().sqrt())


def finite(x):
    return bool(torch.isfinite(torch.view_as_real(x)).all())


def test_the_file_is_small_and_says_where_it_comes_from(prior, name):
    path = shipped_weights(name)
    assert path.stat().st_size < 16_000_000
    assert sum(p.numel() for p in prior.denoiser.parameters()) < {"default": 8_000_000, "tiny": 500_000}[name]
    for key in ("architecture", "sigma_data", "scale_convention", "data", "licence", "rmse", "trained_steps"):
        assert prior.metadata.get(key), key
    assert path.with_suffix(".md").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("field_of_view", [(0.01, 1.1, 1.1), BRAIN], ids=["head", "brain"])
@pytest.mark.parametrize("sigma", [0.05, 0.2])
def test_the_output_turns_with_the_global_phase(denoise, sigma, field_of_view):
    clean = brain(128, 128, field_of_view)
    noisy = clean + sigma * noise(clean.shape)
    plain = denoise(noisy, sigma)
    for angle in (0.7, 2.0, math.pi):
        turn = torch.polar(torch.tensor(1.0), torch.tensor(angle))
        assert rms(denoise(turn * noisy, sigma) / turn - plain) < 0.02 * rms(plain), angle


SIZES = [(64, 64), (65, 65), (97, 97), (127, 127), (180, 230), (256, 256), (511, 512)]


@pytest.mark.slow
@pytest.mark.parametrize("shape", SIZES)
def test_every_matrix_size_is_denoised_up_to_its_borders(denoise, shape):
    clean = brain(*shape)
    error = denoise(clean + 0.1 * noise(shape), 0.1) - clean
    assert finite(error)
    inside = rms(error[4:-4, 4:-4])
    assert inside < 0.05
    rims = {"top": error[:4], "bottom": error[-4:], "left": error[:, :4], "right": error[:, -4:]}
    for name, rim in rims.items():
        assert rms(rim) < 1.5 * inside, name  # half of a rim pixel's neighbourhood is missing


def interior_difference(denoise, shift, sigma=0.1, rim=40):
    """Relative difference, away from the borders, between a shifted image denoised and the image denoised and shifted."""
    n = 176
    clean = brain(n + shift, n + shift)
    noisy = clean + sigma * noise(clean.shape)
    first, second = denoise(noisy[:n, :n], sigma), denoise(noisy[shift:, shift:], sigma)
    return rms((first[shift:, shift:] - second[: n - shift, : n - shift])[rim:-rim, rim:-rim]) / rms(clean)


@pytest.mark.slow
@pytest.mark.parametrize("shift", [1, 7, 16, 48])
def test_there_is_no_tiling(denoise, shift):
    """Whole strides or not: what remains grows with the shift, since groups are normalised over another crop."""
    assert interior_difference(denoise, shift) < 0.015


def test_without_noise_it_is_the_identity(denoise):
    clean = brain(96, 96)
    assert rms(denoise(clean, 1e-6) - clean) < 0.005 * rms(clean)


ODD_IMAGES = {
    "noise": lambda: noise((64, 48)),
    "empty": lambda: torch.zeros(64, 48, dtype=torch.complex64),
    "bright spot": lambda: brain(64, 48) + 1000 * (torch.arange(64 * 48).reshape(64, 48) == 1500),
    "very bright": lambda: 1e4 * brain(64, 48),
    "one row": lambda: noise((1, 80)),
}


@pytest.mark.parametrize("sigma", [0.002, 0.2, 3.0, 10.0])
@pytest.mark.parametrize("image", ODD_IMAGES)
def test_odd_images_come_back_finite(denoise, image, sigma):
    x = ODD_IMAGES[image]()
    out = denoise(x, sigma)
    assert finite(out)
    assert rms(out) <= 1.05 * rms(x) + 0.1 * sigma + 1e-3


def test_noise_alone_becomes_no_anatomy(denoise):
    for sigma in (0.05, 0.2):
        assert rms(denoise(sigma * noise((128, 128)), sigma)) < 0.25 * sigma


@pytest.mark.slow
def test_a_bright_spot_disturbs_its_neighbourhood_only(denoise):
    clean = brain(176, 176)
    noisy = clean + 0.1 * noise(clean.shape)
    spot = noisy.clone()
    spot[20, 20] += 30
    difference = (denoise(spot, 0.1) - denoise(noisy, 0.1))[96:, 96:]
    assert rms(difference) < 0.05 * rms(clean)
