"""Every convention against Gaussian images of variance V, whose best predictions are known in closed form.

z = z0 + sigma n with z0 ~ N(0, V):  E[z0 | z] = V z / (V + sigma^2),  E[n | z] = sigma z / (V + sigma^2).
"""

import math

import pytest
import torch

from nilatron.core.prior.conventions import EDM, VE, VP, ContinuousVP
from nilatron.core.prior.noise_levels import linear_alpha_bar

V = 0.3
SIGMA = torch.tensor([0.02, 0.3, 2.0])
Z = torch.tensor([0.5, -0.7, 1.1])
BEST = V * Z / (V + SIGMA**2)


def denoised(convention, network, sigma=SIGMA):
    found = convention.coefficients(sigma)
    return found.skip * Z + found.gain * network(found.input * Z, found.time)


def variance_preserving(predicts, alpha_bar):
    """Best prediction from u = sqrt(a) z0 + sqrt(1 - a) n, by the regression coefficients of Gaussians."""

    def network(u, time):
        a = alpha_bar(time)
        power = a * V + 1 - a
        noise, clean = (1 - a).sqrt() * u / power, a.sqrt() * V * u / power
        return {
            "noise": noise,
            "denoised": clean,
            "v": a.sqrt() * noise - (1 - a).sqrt() * clean,
            "score": -u / power,
        }[predicts]

    return network


def test_edm_raw_of_data_of_its_sigma_data_needs_no_network():
    assert torch.allclose(denoised(EDM(sigma_data=math.sqrt(V)), lambda u, _: 0 * u), BEST)


def test_edm_raw_has_the_numbers_of_its_table():
    found = EDM(sigma_data=0.5).coefficients(torch.tensor([0.5]))
    expected = [0.5, 0.5 * 0.5 / math.sqrt(0.5), math.sqrt(2), math.log(0.5)]
    assert [float(value) for value in found] == pytest.approx(expected)


def test_edm_denoised():
    assert torch.allclose(denoised(EDM("denoised", "sigma"), lambda u, s: V * u / (V + s**2)), BEST)


VE_BEST = {
    "score": lambda u, s: -u / (V + s**2),
    "noise": lambda u, s: s * u / (V + s**2),
    "denoised": lambda u, s: V * u / (V + s**2),
}


@pytest.mark.parametrize("predicts", VE_BEST)
@pytest.mark.parametrize("time", ["sigma", "ln_sigma"])
def test_ve_of_sigma(predicts, time):
    best = VE_BEST[predicts]
    network = best if time == "sigma" else lambda u, t: best(u, t.exp())
    assert torch.allclose(denoised(VE(predicts, time), network), BEST)


@pytest.mark.parametrize("predicts", VE_BEST)
def test_ve_of_the_time_of_the_geometric_sde(predicts):
    best = VE_BEST[predicts]
    network = lambda u, t: best(u, 0.01 * (50 / 0.01) ** t)  # noqa: E731
    assert torch.allclose(denoised(VE(predicts, "position", (0.01, 50.0)), network), BEST, atol=1e-5)


def test_ve_of_falling_steps_as_in_ncsn():
    levels = (2.0, 0.3, 0.02)
    network = lambda u, t: VE_BEST["score"](u, torch.tensor(levels)[t])  # noqa: E731
    assert torch.allclose(denoised(VE("score", "step", levels), network), BEST)


@pytest.mark.parametrize("predicts", ["noise", "denoised", "v", "score"])
def test_vp_of_steps_at_its_levels(predicts):
    table = torch.tensor(linear_alpha_bar())
    steps = torch.tensor([3, 200, 800])
    sigma = ((1 - table) / table).sqrt()[steps]
    found = denoised(VP(predicts, "step", linear_alpha_bar()), variance_preserving(predicts, lambda t: table[t]), sigma)
    assert torch.allclose(found, V * Z / (V + sigma**2), atol=1e-5)


@pytest.mark.parametrize("predicts", ["noise", "denoised", "v", "score"])
def test_vp_of_continuous_time(predicts):
    alpha_bar = lambda t: (-0.5 * t**2 * (20 - 0.1) - 0.1 * t).exp()  # noqa: E731
    assert torch.allclose(
        denoised(ContinuousVP(predicts), variance_preserving(predicts, alpha_bar)), BEST, atol=1e-5, rtol=1e-4
    )


def test_the_discrete_schedule_approaches_the_continuous_one():
    """Step i of T ends at t = (i + 1) / T of beta from T beta_first to T beta_last."""
    sigma = torch.tensor([0.3, 2.0])
    step = VP("noise", "position", linear_alpha_bar()).coefficients(sigma).time
    time = ContinuousVP().coefficients(sigma).time
    assert torch.allclose((step + 1) / 1000, time, rtol=0.01)


def test_steps_err_by_no_more_than_half_of_their_distance():
    """|D(z, level) - D(z, sigma)| <= h max |dD / d ln(sigma)|; here dD / d ln(sigma) = -2 V sigma^2 z / (V + sigma^2)^2."""
    table = linear_alpha_bar()
    levels = torch.tensor(VP("noise", "step", table).levels)
    sigma = torch.logspace(-1.8, 1, 400)
    convention = VP("denoised", "step", table)
    found = convention.coefficients(sigma)
    network = variance_preserving("denoised", lambda t: torch.tensor(table)[t])
    error = (network(found.input, found.time) - V / (V + sigma**2)).abs()
    distance = levels.log().diff().max() / 2
    assert float(distance) == pytest.approx(0.197, abs=0.001)
    steepest = 0.5  # of 2 V s^2 / (V + s^2)^2, at s^2 = V
    assert float(error.max()) <= float(distance) * steepest
    assert float(error.max()) > 1e-3  # rounding shows


@pytest.mark.parametrize(
    "call",
    [
        lambda: EDM("noise"),
        lambda: EDM(time="step"),
        lambda: EDM(sigma_data=0.0),
        lambda: VE("v"),
        lambda: VE(time="step"),
        lambda: VE(time="late"),
        lambda: VP("raw", "step", (0.9, 0.5)),
        lambda: VP("noise", "sigma", (0.9, 0.5)),
        lambda: VP("noise", "step", (0.5,)),
        lambda: VP("noise", "step", (1.0, 0.5)),
        lambda: ContinuousVP(betas=(20.0, 0.1)),
    ],
)
def test_no_convention(call):
    with pytest.raises(ValueError, match=r"one of|must|table"):
        call()
