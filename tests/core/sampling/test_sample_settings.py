import math

import pytest

from nilatron.core.sampling.sample_settings import CENTRED, SampleSettings
from nilatron.core.sampling.schedule import karras_schedule


def test_the_split_follows_the_predicted_error_within_its_bounds():
    settings = SampleSettings()
    assert settings.split(0.04) == pytest.approx(0.056)
    assert settings.split() == 0.06
    assert settings.split(1e-4) == 0.01
    assert settings.split(0.5) == 0.5
    assert SampleSettings(split_sigma=0.1).split(0.04) == 0.1


@pytest.mark.parametrize(
    ("settings", "error", "levels", "shared", "widened"),
    [
        ({}, 0.05, (1.4 * 0.05,), True, True),
        ({}, None, karras_schedule(2, 0.06, 0.01), True, False),
        ({}, 0.9, karras_schedule(2, 0.5, 0.01), False, False),
        ({"sample_steps": 2}, 0.05, karras_schedule(2, 1.4 * 0.05, 0.01), True, False),
        ({"sample_steps": 1}, 0.05, (1.4 * 0.05,), True, True),
        ({"sample_steps": 1}, None, (0.06,), True, False),
        ({"split_sigma": 0.1}, 0.05, karras_schedule(2, 0.1, 0.01), True, False),
    ],
)
def test_samples_take_one_step_and_are_widened_where_the_split_follows_a_predicted_error(
    settings, error, levels, shared, widened
):
    found = SampleSettings(**settings).chains(error)
    assert (found.levels, found.shared, found.widening > 0) == (levels, shared, widened)
    assert found.centred == (CENTRED if shared else 0)


def test_few_samples_are_widened_more():
    """Errors that aliasing makes are larger than a single step shows."""
    all_of_them, quarter = (SampleSettings().chains(0.05, share).widening for share in (1.0, 0.25))
    assert quarter == pytest.approx(all_of_them * 4**0.05)
    assert math.isfinite(SampleSettings().chains(0.05, 0.0).widening)


@pytest.mark.parametrize(
    "changes",
    [
        {"samples": 1},
        {"sample_steps": 0},
        {"map_steps": 0},
        {"split_sigma": 0.001},
        {"sample_sigma_max": 0.001},
        {"sample_sigma_min": 0.0},
    ],
)
def test_settings_outside_their_range(changes):
    with pytest.raises(ValueError, match=r".+"):
        SampleSettings(**changes)
