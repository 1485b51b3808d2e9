import math

import pytest
import torch

from nilatron.core.prior.lesions import LesionSettings, lesion, with_lesions

TISSUE = 0.5 * torch.exp(1j * torch.linspace(0, 2, 96))[None, :].expand(96, 96).to(torch.complex64)
ALWAYS = LesionSettings(probability=1.0, number=(3, 3))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_none_are_drawn_unless_asked_for():
    """And no random number either: scans of a seed stay what they were."""
    unused = generator()
    assert with_lesions(TISSUE, LesionSettings(), unused) is TISSUE
    assert torch.equal(unused.get_state(), generator().get_state())


@pytest.mark.parametrize("elongation", [1.0, 1.6])
@pytest.mark.parametrize("diameter", [3.0, 5.0, 12.0])
def test_a_lesion_has_the_area_of_its_disc(diameter, elongation):
    profile = lesion((64, 64), (31.7, 32.2), diameter, 0.3, elongation=elongation, angle=0.7)
    assert float(profile.sum()) == pytest.approx(math.pi * diameter**2 / 4, rel=0.08)
    assert 0 <= float(profile.min()) <= float(profile.max()) <= 1


def test_lesions_have_the_phase_of_their_tissue_and_the_contrast_asked_for():
    changed = with_lesions(TISSUE, ALWAYS, generator(1)) / TISSUE
    assert float(changed.imag.abs().max()) < 1e-5
    change = (changed.real - 1).abs()
    assert 0.05 < float(change.max()) < 1.6**3
    assert 0 < float((change > 0.02).float().mean()) < 0.1


def test_bright_and_dark_ones_are_drawn():
    extremes = [with_lesions(TISSUE, ALWAYS, generator(seed)).abs() - 0.5 for seed in range(8)]
    assert max(float(e.max()) for e in extremes) > 0.05
    assert min(float(e.min()) for e in extremes) < -0.05


def test_air_has_no_lesions():
    air = torch.zeros(32, 32, dtype=torch.complex64)
    assert torch.equal(with_lesions(air, ALWAYS, generator()), air)


def test_texture_is_fine_and_as_strong_as_asked_for():
    settings = LesionSettings(texture_probability=1.0, texture=(0.05, 0.05), texture_size=(3.0, 3.0))
    ratio = with_lesions(TISSUE, settings, generator(2)).abs() / 0.5 - 1
    assert 0.03 < float(ratio.std()) < 0.08
    neighbours = float((ratio[1:] * ratio[:-1]).mean() / (ratio**2).mean())
    far = float((ratio[12:] * ratio[:-12]).mean() / (ratio**2).mean())
    assert neighbours > 0.3
    assert abs(far) < 0.2


@pytest.mark.parametrize(
    "wrong", [{"probability": 1.5}, {"contrast": (0.5, 0.1)}, {"diameter": (0.0, 2.0)}, {"number": (0, 3)}]
)
def test_ranges_from_which_nothing_can_be_drawn_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        LesionSettings(**wrong)
