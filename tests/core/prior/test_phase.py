import math
from dataclasses import replace

import pytest
import torch

from nilatron.core.prior.edm import EDMDenoiser
from nilatron.core.prior.phase import PhaseSettings, draw_phases, nearest_to_magnitude
from nilatron.core.prior.unet import UNetConfig

N = 24


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def magnitude():
    y, x = torch.meshgrid(torch.linspace(-1, 1, N), torch.linspace(-1, 1, N), indexing="ij")
    return (y**2 + x**2 < 0.8) * (1 - 0.5 * x * y)


def ramps(slopes):
    """e^{i k r} for slopes (k_y, k_x) in radians per pixel."""
    y, x = torch.meshgrid(torch.arange(N), torch.arange(N), indexing="ij")
    return torch.stack([torch.exp(1j * (a * y + b * x)) for a, b in slopes])


def family_denoiser(members):
    """E[x0 | x] where x0 = e^{i phi} times one of the members (n, y, x), phi uniform, all equally probable.

    With c_k = <u_k, x>, the likelihood integrated over phi is exp(-|u_k|^2 / sigma^2) I0(2 |c_k| / sigma^2).
    """
    members = members.to(torch.complex128)
    power = members.abs().square().sum((-2, -1))

    def denoise(x, sigma):
        c = torch.einsum("kyx,byx->bk", members.conj(), x.to(torch.complex128))
        kappa = 2 * c.abs() / sigma**2
        log_share = kappa + torch.special.i0e(kappa).log() - power / sigma**2
        amplitude = torch.special.i1e(kappa) / torch.special.i0e(kappa) * torch.exp(1j * c.angle())
        return torch.einsum("bk,kyx->byx", log_share.softmax(1) * amplitude, members).to(torch.complex64)

    return denoise


def test_the_magnitude_is_kept_for_any_denoiser_and_size():
    torch.manual_seed(0)
    denoiser = EDMDenoiser(UNetConfig(channels=(8, 16), blocks=(1, 1), embedding=16), sigma_data=0.25).eval()
    for shape in ((2, 16, 16), (1, 37, 22), (3, 5, 1)):
        m = torch.rand(shape, generator=generator())
        m[..., 0, :] = 0
        drawn = draw_phases(denoiser.denoise, m, generator(), PhaseSettings(n_steps=3))
        assert drawn.dtype == torch.complex64
        assert torch.allclose(drawn.abs(), m, atol=1e-6)


def test_the_global_phase_is_uniform_over_draws(magnitude):
    m = magnitude.expand(400, N, N)
    drawn = draw_phases(family_denoiser(magnitude[None]), m, generator(), PhaseSettings(n_steps=4))
    turn = drawn.sum((-2, -1)) / m.sum((-2, -1))
    assert torch.allclose(turn.abs(), torch.ones(400), atol=1e-4)  # every one of them is constant
    for harmonic in (1, 2, 3):
        assert float((turn**harmonic).mean().abs()) < 0.15  # three standard deviations of 400 uniform phases


def test_drawn_phases_are_of_the_family_that_the_denoiser_knows(magnitude):
    slopes = [(0.0, 0.0), (0.3, 0.0), (-0.2, 0.2), (0.1, -0.4)]
    members = magnitude * ramps(slopes)
    n_draws = 200
    drawn = draw_phases(family_denoiser(members), magnitude.expand(n_draws, N, N), generator())
    match = torch.einsum("kyx,byx->bk", members.conj(), drawn).abs() / magnitude.square().sum()
    best = match.max(dim=1)
    assert float(best.values.min()) > 0.999
    found = torch.bincount(best.indices, minlength=len(slopes)) / n_draws
    assert float(found.min()) > 0.15  # equally probable: 0.25


def test_a_smooth_family_gives_smooth_phases(magnitude):
    members = magnitude * ramps([(0.2, 0.1), (-0.1, 0.2)])
    drawn = draw_phases(family_denoiser(members), magnitude.expand(20, N, N), generator(1))
    inside = magnitude[:, 1:] * magnitude[:, :-1] > 0
    steps = (drawn[..., 1:] * drawn[..., :-1].conj()).angle().abs()[:, inside]
    assert float(steps.max()) < 0.2 + 0.01


def test_independent_parts_of_an_image_get_independent_phases():
    """The denoiser knows images with a constant phase on each half."""
    half = torch.zeros(2, N, N)
    half[0, :, : N // 2] = half[1, :, N // 2 :] = 1
    left, right = family_denoiser(half[:1]), family_denoiser(half[1:])
    drawn = draw_phases(lambda x, sigma: left(x, sigma) + right(x, sigma), torch.ones(300, N, N), generator())
    turns = torch.stack([drawn[..., : N // 2].mean((-2, -1)), drawn[..., N // 2 :].mean((-2, -1))])
    assert float(turns.abs().min()) > 0.999
    assert float((turns[0] * turns[1].conj()).mean().abs()) < 0.17


def test_the_seed_decides(magnitude):
    denoiser = family_denoiser(magnitude * ramps([(0.0, 0.0), (0.3, 0.0)]))
    m = magnitude.expand(3, N, N)
    first, again, other = (draw_phases(denoiser, m, generator(seed)) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other, atol=0.1)
    assert not torch.allclose(first[0], first[1], atol=0.1)


def test_the_proximal_step_minimises_its_objective():
    d, m, sigma, sigma_m = torch.tensor(0.3 * math.e ** (1j)), torch.tensor(0.8), 0.2, 0.1
    x = nearest_to_magnitude(d, m, sigma**2 / (sigma**2 + sigma_m**2))

    def objective(value):
        return (value - d).abs() ** 2 / sigma**2 + (value.abs() - m) ** 2 / sigma_m**2

    for direction in (1, -1, 1j, -1j):
        assert float(objective(x + 0.01 * direction)) > float(objective(x))


@pytest.mark.parametrize(
    "wrong",
    [{"sigma_first": 0.001}, {"sigma_last": 0.0}, {"sigma_magnitude": 0.0}, {"rho": 0.0}, {"n_steps": 1}],
)
def test_what_is_no_falling_sequence_is_refused(wrong):
    with pytest.raises(ValueError, match="got PhaseSettings"):
        replace(PhaseSettings(), **wrong)
