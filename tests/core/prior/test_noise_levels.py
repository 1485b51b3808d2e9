import math

import pytest
import torch

from nilatron.core.prior.noise_levels import (
    check_levels,
    cosine_alpha_bar,
    geometric_levels,
    level_and_time,
    linear_alpha_bar,
)

RISING = (0.1, 0.2, 0.8)


def test_ddpm_schedule_has_the_published_ends():
    """Beta from 1e-4 to 0.02 in 1000 steps leaves 4e-5 of the signal's power (Ho et al.)."""
    table = linear_alpha_bar()
    assert len(table) == 1000
    assert table[0] == pytest.approx(1 - 1e-4)
    assert table[-1] == pytest.approx(4.036e-5, rel=1e-3)


def test_cosine_schedule_is_the_cosine_until_its_clip():
    table = cosine_alpha_bar(100)
    expected = [
        (math.cos((i / 100 + 0.008) / 1.008 * math.pi / 2) / math.cos(0.008 / 1.008 * math.pi / 2)) ** 2
        for i in range(1, 100)
    ]
    assert table[:99] == pytest.approx(expected)
    assert table[99] == pytest.approx(table[98] * 0.001)


def test_geometric_levels_have_one_ratio():
    assert geometric_levels(0.01, 10.0, 4) == pytest.approx((0.01, 0.1, 1.0, 10.0))


@pytest.mark.parametrize("levels", [RISING, RISING[::-1]])
@pytest.mark.parametrize("time", ["step", "position"])
def test_at_a_level_time_is_its_index(levels, time):
    level, place = level_and_time(torch.tensor(levels), levels, time)
    assert torch.allclose(level, torch.tensor(levels))
    assert torch.allclose(place.to(torch.float32), torch.arange(3.0), atol=1e-5)


def test_position_is_linear_in_the_logarithm_and_keeps_the_level():
    sigma = torch.tensor([math.sqrt(0.1 * 0.2), 0.4])
    level, place = level_and_time(sigma, RISING, "position")
    assert torch.allclose(level, sigma)
    assert torch.allclose(place, torch.tensor([0.5, 1.5]))


def test_step_takes_the_nearest_level():
    level, place = level_and_time(torch.tensor([0.13, 0.15, 0.39, 0.41]), RISING, "step")
    assert place.tolist() == [0, 1, 1, 2]
    assert torch.allclose(level, torch.tensor([0.1, 0.2, 0.2, 0.8]))


@pytest.mark.parametrize("time", ["step", "position"])
def test_beyond_the_ends_is_the_end(time):
    level, place = level_and_time(torch.tensor([1e-3, 50.0]), RISING, time)
    assert torch.allclose(level, torch.tensor([0.1, 0.8]))
    assert torch.allclose(place.to(torch.float32), torch.tensor([0.0, 2.0]))


@pytest.mark.parametrize(
    "levels", [(), (0.1,), (0.1, 0.1), (0.1, 0.3, 0.2), (-1.0, 1.0), (0.1, math.nan), (0.1, math.inf)]
)
def test_no_table(levels):
    with pytest.raises(ValueError, match="rises or falls"):
        check_levels(levels)


@pytest.mark.parametrize(
    "call",
    [
        lambda: linear_alpha_bar(0.02, 1e-4),
        lambda: linear_alpha_bar(n_steps=1),
        lambda: cosine_alpha_bar(1),
        lambda: geometric_levels(1.0, 0.1, 5),
        lambda: geometric_levels(0.1, 1.0, 1),
    ],
)
def test_no_schedule(call):
    with pytest.raises(ValueError, match=r"steps|rise"):
        call()
