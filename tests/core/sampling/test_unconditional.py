import math

import pytest
import torch

from nilatron.core.sampling.schedule import karras_schedule
from nilatron.core.sampling.unconditional import sample_unconditional

POWER = 0.3  # of the Gaussian prior


def wiener(x, sigma):
    return x * POWER / (POWER + sigma**2)


def draw(schedule, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return sample_unconditional(wiener, (2, 32, 32), schedule, generator=generator)


def test_samples_follow_the_known_solution_of_a_gaussian_prior():
    parts = torch.randn((2, 2, 32, 32), generator=torch.Generator().manual_seed(0))
    start = 4.0 / math.sqrt(2) * torch.complex(parts[0], parts[1])
    expected = start * math.sqrt(POWER / (POWER + 16.0))  # x(sigma) is proportional to sqrt(power + sigma^2)
    samples = draw(karras_schedule(40, sigma_max=4.0, sigma_min=0.01))
    torch.testing.assert_close(samples, expected, rtol=0.01, atol=1e-3)
    assert float(samples.abs().square().mean()) == pytest.approx(POWER * 16 / (POWER + 16), rel=0.1)


def test_heun_converges_with_the_second_order():
    exact = draw(karras_schedule(320, sigma_max=4.0, sigma_min=0.01))
    errors = [float((draw(karras_schedule(n, sigma_max=4.0, sigma_min=0.01)) - exact).abs().max()) for n in (10, 20)]
    assert errors[0] > 3 * errors[1]


def test_the_seed_alone_decides_and_one_level_is_one_denoising():
    schedule = karras_schedule(5, sigma_max=4.0, sigma_min=0.01)
    assert torch.equal(draw(schedule), draw(schedule))
    assert not torch.equal(draw(schedule), draw(schedule, seed=1))
    parts = torch.randn((2, 2, 32, 32), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(draw((1.0,)), wiener(torch.complex(parts[0], parts[1]) / math.sqrt(2), 1.0))


def test_the_first_noise_can_be_given():
    generator = torch.Generator().manual_seed(0)
    parts = torch.randn((2, 1, 8, 8), generator=torch.Generator().manual_seed(0))
    first = torch.complex(parts[0], parts[1]) / 2**0.5
    drawn = [
        sample_unconditional(
            lambda x, sigma: x / (1 + sigma**2), (1, 8, 8), (2.0, 0.5, 0.1), generator=generator, **given
        )
        for given in ({}, {"first": first})
    ]
    assert torch.allclose(*drawn, atol=1e-6)
