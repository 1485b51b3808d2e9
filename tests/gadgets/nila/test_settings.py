import pytest

from nilatron.gadgets.nila.settings import NilaNodeSettings, PublishedNodeSettings


@pytest.mark.parametrize(
    "changes",
    [
        {"series": ()},
        {"series": ("nila", "nila")},
        {"series": ("phase",)},
        {"steps": 0},
        {"sigma_max": 0.01},
        {"sample_steps": 0},
        {"split_sigma": 0.001},
        {"map_steps": 0},
        {"samples": 1},
        {"sigma_fraction": 0.0},
        {"sigma_fraction": 1.1},
        {"momentum": -0.1},
        {"momentum": 1.0},
        {"tolerance": 0.0},
        {"iterations": 0},
        {"coarse_share": -0.1},
        {"coarse_share": 1.0},
        {"sample_sigma_max": 0.001},
        {"min_change": -0.1},
        {"min_change": 1.0},
        {"batch_slices": 0},
        {"refine_maps": "yes"},
        {"slice_budget_s": -1.0},
        {"scan_budget_s": float("nan")},
    ],
)
def test_settings_outside_their_range(changes):
    with pytest.raises(ValueError, match=r".+"):
        NilaNodeSettings(**changes)


@pytest.mark.parametrize(
    "changes", [{"steps": 7}, {"steps": 0}, {"series": ("nila", "uncertainty")}, {"series": ("mean",)}, {"series": ()}]
)
def test_settings_of_the_published_sampler_outside_their_range(changes):
    with pytest.raises(ValueError, match=r".+"):
        PublishedNodeSettings(**changes)


def test_evaluations_of_a_slice():
    assert NilaNodeSettings().evaluations == 7
    assert NilaNodeSettings(series=("nila", "std")).evaluations == 7 + 8
    assert NilaNodeSettings(series=("map",), sample_steps=2).evaluations == 7 + 8 * 2 + 16
