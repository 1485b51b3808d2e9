"""Our shipped denoiser dressed as the networks of others, and back."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from nilatron.core.prior.conventions import EDM, VE, VP, ContinuousVP
from nilatron.core.prior.edm import EDMDenoiser
from nilatron.core.prior.edm_weights import load_prior
from nilatron.core.prior.foreign import ForeignDenoiser, ForeignUnits, rename_prefixes, to_edm_denoiser
from nilatron.core.prior.noise_levels import linear_alpha_bar
from nilatron.core.prior.unet import UNetConfig
from nilatron.core.prior.weights import shipped_weights

OURS = load_prior(shipped_weights("tiny")).denoiser
TABLE = torch.tensor(linear_alpha_bar(), dtype=torch.float64).to(torch.float32)
X = 0.5 * torch.randn(3, 2, 32, 40, generator=torch.Generator().manual_seed(0))
S = torch.tensor([0.02, 0.1, 0.35])


class Network(nn.Module):
    """A function as a module."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, u, time):
        return self.function(u, time)


def column(values):
    return values[:, None, None, None]


def ve_score(z, sigma):
    return (OURS(z, sigma) - z) / column(sigma) ** 2


def vp_noise(u, alpha_bar):
    sigma = ((1 - alpha_bar) / alpha_bar).sqrt()
    z = u / column(alpha_bar).sqrt()
    return (z - OURS(z, sigma)) / column(sigma)


def converted(function, units):
    return ForeignDenoiser(Network(function), units, OURS.sigma_data)


def distance(denoiser, s=S):
    return float((denoiser(X, s) - OURS(X, s)).abs().max())


def raw_without_a_step_before(u, time):
    return OURS.network(torch.cat((u, torch.zeros_like(u)), dim=1), time)


def test_raw_edm():
    units = ForeignUnits(EDM(sigma_data=OURS.sigma_data), time_factor=0.25)
    assert distance(converted(raw_without_a_step_before, units)) < 1e-5


def test_ve_score():
    assert distance(converted(ve_score, ForeignUnits(VE()))) < 1e-4


def test_vp_noise_of_continuous_time():
    alpha_bar = lambda t: (-0.5 * t**2 * 19.9 - 0.1 * t).exp()  # noqa: E731
    function = lambda u, label: vp_noise(u, alpha_bar(label / 999))  # noqa: E731
    assert distance(converted(function, ForeignUnits(ContinuousVP(), time_factor=999.0))) < 1e-4


def test_vp_noise_of_steps_is_d_at_the_nearest_level_within_the_quantisation_error():
    convention = VP("noise", "step", linear_alpha_bar())
    seen = []

    def function(u, step):
        seen.append(step.dtype)
        return vp_noise(u, TABLE[step])

    levels = torch.tensor(convention.levels)
    nearest = levels[(S.log()[:, None] - levels.log()).abs().argmin(1)]
    found = converted(function, ForeignUnits(convention))(X, S)
    assert seen == [torch.int64]
    assert float((found - OURS(X, nearest)).abs().max()) < 1e-4
    shift = float((nearest / S).log().abs().max())
    assert 0 < shift <= float(levels.log().diff().max()) / 2
    step = 0.01  # of ln(sigma), for the derivative
    slopes = [
        (OURS(X, S * math.exp(o + step)) - OURS(X, S * math.exp(o))).abs().max() / step for o in (-shift, 0, shift)
    ]
    assert float((found - OURS(X, S)).abs().max()) <= 1.1 * shift * float(max(slopes)) + 1e-4


def test_complex_noise_numbers():
    function = lambda z, sigma: ve_score(z, sigma / math.sqrt(2)) / 2  # noqa: E731  - the derivative by conjugate z
    units = ForeignUnits(VE(), noise="complex")
    assert distance(converted(function, units)) < 1e-4
    assert distance(converted(function, replace(units, noise="component"))) > 0.05


def test_scale_and_offset_as_of_images_from_minus_1_to_1():
    function = lambda z, sigma: 2 * OURS((z + 1) / 2, sigma / 2) - 1  # noqa: E731
    units = ForeignUnits(EDM("denoised", "sigma"), scale=2.0, offset=-1.0)
    assert distance(converted(function, units)) < 1e-5


def test_swapped_channels():
    function = lambda z, sigma: OURS(z.flip(1), sigma).flip(1)  # noqa: E731
    assert distance(converted(function, ForeignUnits(EDM("denoised", "sigma"), swapped=True))) < 1e-6


def test_one_channel_sees_both_parts_of_every_image_at_its_level():
    function = lambda z, sigma: column(sigma) * z  # noqa: E731
    found = converted(function, ForeignUnits(EDM("denoised", "sigma"), channels=1))(X, S)
    assert torch.allclose(found, column(S) * X)


def test_learned_variances_are_left_out():
    function = lambda z, sigma: torch.cat([OURS(z, sigma), torch.full_like(z, torch.nan)], dim=1)  # noqa: E731
    assert distance(converted(function, ForeignUnits(EDM("denoised", "sigma")))) == 0


def test_one_level_for_a_batch():
    denoiser = converted(ve_score, ForeignUnits(VE()))
    assert torch.equal(denoiser(X, torch.tensor([0.1])), denoiser(X, torch.full((3,), 0.1)))


@pytest.mark.parametrize(
    "change",
    [
        {"noise": "real"},
        {"scale": 0.0},
        {"offset": math.inf},
        {"channels": 3},
        {"channels": 1, "swapped": True},
        {"channels": 1, "noise": "complex"},
        {"multiple": 0},
    ],
)
def test_no_units(change):
    with pytest.raises(ValueError, match=r"must|neither"):
        ForeignUnits(VE(), **change)


@pytest.mark.parametrize(
    ("noise", "scale", "swapped"), [("component", 1.0, False), ("complex", 1.0, True), ("complex", 3.0, False)]
)
def test_our_network_in_other_units_becomes_weights_of_ours(noise, scale, swapped):
    config = UNetConfig(channels=(8, 16), blocks=(1, 1), embedding=16)
    foreign = EDMDenoiser(config, 0.5)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in foreign.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    units = ForeignUnits(EDM(sigma_data=0.5), noise=noise, scale=scale, swapped=swapped, time_factor=0.25, multiple=2)
    network = foreign.network.eval().requires_grad_(False)
    expected = ForeignDenoiser(network, units, 0.5 / units.noise_factor)
    found = to_edm_denoiser(network.state_dict(), config, units)
    assert found.sigma_data == pytest.approx(expected.sigma_data)
    assert torch.allclose(found(X, S), expected(X, S), atol=2e-5)
    assert not torch.allclose(expected(X, S), expected(X, 1.2 * S), atol=1e-3)  # the noise number matters


@pytest.mark.parametrize(
    "units",
    [
        ForeignUnits(VE()),
        ForeignUnits(EDM("denoised", "sigma")),
        ForeignUnits(EDM()),
        ForeignUnits(EDM(), time_factor=0.25, offset=1.0),
    ],
)
def test_what_our_weights_cannot_hold(units):
    with pytest.raises(ValueError, match="write ONNX instead"):
        to_edm_denoiser(OURS.network.state_dict(), OURS.network.config, units)


def test_prefixes_of_names_are_exchanged():
    state = {"model.a.w": X, "model.b": S, "ema": S}
    assert list(rename_prefixes(state, [("model.a", "first"), ("model.", "")])) == ["first.w", "b", "ema"]
    with pytest.raises(ValueError, match="begins with 'net'"):
        rename_prefixes(state, [("net", "")])
    with pytest.raises(ValueError, match="two tensors"):
        rename_prefixes(state, [("model.b", "ema")])
