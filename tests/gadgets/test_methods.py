import numpy as np
import pytest

from nilatron.gadgets.methods import (
    METHODS,
    NOISE_FLOOR,
    NilaNodeSettings,
    PublishedNodeSettings,
    image_scale,
    noise_level,
    to_device,
)


def test_targets_are_those_of_the_shipped_chains():
    assert set(METHODS) == {"zero_filled", "cg_sense", "l1_wavelet", "nila", "nila_published"}
    assert all(method.history for method in METHODS.values())


@pytest.mark.parametrize(
    "changes",
    [
        {"series": ()},
        {"series": ("nila", "nila")},
        {"series": ("phase",)},
        {"steps": 0},
        {"sigma_max": 0.01},
        {"sample_steps": 0},
        {"samples": 1},
        {"tolerance": 0.0},
        {"iterations": 0},
        {"slice_budget_s": -1.0},
        {"scan_budget_s": float("nan")},
    ],
)
def test_settings_outside_their_range(changes):
    with pytest.raises(ValueError, match=r".+"):
        NilaNodeSettings(**changes)


@pytest.mark.parametrize("changes", [{"steps": 7}, {"steps": 0}, {"series": ("nila", "uncertainty")}, {"series": ()}])
def test_settings_of_the_published_sampler_outside_their_range(changes):
    with pytest.raises(ValueError, match=r".+"):
        PublishedNodeSettings(**changes)


class Problem:
    def __init__(self, image):
        self.conventional = image


def test_image_scale_is_a_percentile_of_the_warm_start():
    ramp = np.linspace(0, 1, 1001, dtype=np.float32)[None, None] * np.complex64(2j)
    assert image_scale(Problem(ramp)) == pytest.approx(2 * 0.995)
    assert image_scale(Problem(0 * ramp)) == 1.0


def test_noise_is_one_unless_the_image_is_far_above_it():
    assert noise_level(50.0) == 1.0
    assert noise_level(1e6) == 1e6 * NOISE_FLOOR


def test_arrays_stay_on_the_cpu():
    array = np.ones(3)
    assert to_device(array, "cpu") is array
