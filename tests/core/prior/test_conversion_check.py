import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from nilatron.core.phantom import phantom
from nilatron.core.prior.conventions import EDM, VE
from nilatron.core.prior.conversion_check import (
    Alternative,
    CheckResult,
    LevelErrors,
    alternative_units,
    check_denoiser,
    geometric_mean,
)
from nilatron.core.prior.edm_weights import load_prior
from nilatron.core.prior.foreign import ForeignDenoiser, ForeignUnits
from nilatron.core.prior.weights import shipped_weights

OURS = load_prior(shipped_weights("tiny")).denoiser
IMAGES = [torch.from_numpy(phantom((1, 96, 80))[0])]
LEVELS = (0.05, 0.2)


class Score(nn.Module):
    """Our denoiser as the score of somebody else: noise numbers are `factor` s, images are `scale` of ours."""

    def __init__(self, factor=1.0, scale=1.0):
        super().__init__()
        self.factor, self.scale = factor, scale

    def forward(self, z, sigma):
        denoised = self.scale * OURS(z / self.scale, sigma / self.scale / self.factor)
        return (denoised - z) / sigma[:, None, None, None] ** 2


def verdict(network, units):
    return check_denoiser(lambda other: ForeignDenoiser(network, other, 0.24), units, IMAGES, LEVELS)


@pytest.mark.slow
def test_the_right_reading_passes():
    found = verdict(Score(), ForeignUnits(VE()))
    assert found.failure() is None
    assert found.warning() is None
    for at in found.levels:
        assert at.noisy == pytest.approx(at.sigma / math.sqrt(2), rel=0.05)
        assert at.denoised < at.wavelet < at.noisy
    assert {alternative.option for alternative in found.alternatives} == {
        "--noise complex",
        "--scale 2",
        "--scale 0.5",
        "--predicts noise",
        "--predicts denoised",
    }
    assert len(found.markdown().splitlines()) == 2 + len(LEVELS)


@pytest.mark.slow
@pytest.mark.parametrize("factor", [1.0, math.sqrt(2)])
def test_complex_noise_taken_for_that_of_a_component_and_the_other_way_is_found(factor):
    right = "component" if factor == 1 else "complex"
    wrong = ForeignUnits(VE(), noise="component" if right == "complex" else "complex")
    failure = verdict(Score(factor), wrong).failure()
    assert f"with --noise {right} its error would be" in failure
    assert verdict(Score(factor), replace(wrong, noise=right)).failure() is None


@pytest.mark.slow
def test_a_scale_that_the_network_was_not_trained_for_is_found():
    failure = verdict(Score(scale=8.0), ForeignUnits(VE())).failure()
    assert "with --scale 2 its error would be" in failure


@pytest.mark.slow
def test_a_score_taken_for_noise_is_worse_than_nothing_and_named():
    failure = verdict(Score(), ForeignUnits(VE("noise"))).failure()
    assert "worse after denoising than before at sigma 0.05, 0.2" in failure
    assert "with --predicts score" in failure


@pytest.mark.slow
def test_values_that_are_not_finite_are_worse_than_nothing():
    class Broken(nn.Module):
        def forward(self, z, _):
            return torch.full_like(z, torch.nan)

    assert "worse after denoising" in verdict(Broken(), ForeignUnits(VE())).failure()


def test_a_neighbour_that_is_hardly_better_is_no_objection():
    level = LevelErrors(0.1, 0.07, 0.03, 0.02)
    assert CheckResult((level,), (Alternative("--scale 2", 0.96),)).failure() is None
    assert (
        "30 % smaller"
        in CheckResult((level,), (Alternative("--scale 2", 0.7), Alternative("--scale 4", 0.9))).failure()
    )
    assert "sigma 0.1; look at" in CheckResult((replace(level, denoised=0.08),), ()).failure()


def test_what_a_wavelet_does_better_is_remarked():
    assert (
        "at sigma 0.1: the schedule"
        in CheckResult((LevelErrors(0.1, 0.07, 0.03, 0.05), LevelErrors(0.2, 0.14, 0.06, 0.05)), ()).warning()
    )


def test_neighbours_leave_the_rest_as_it_is():
    units = ForeignUnits(EDM(sigma_data=0.3), scale=4.0, time_factor=0.25, multiple=8)
    for option, other in alternative_units(units):
        assert other != units
        assert (other.time_factor, other.multiple) == (0.25, 8), option


def test_means_of_ratios():
    assert geometric_mean([0.5, 2.0]) == pytest.approx(1.0)
    assert geometric_mean([1.0, math.nan]) == math.inf
