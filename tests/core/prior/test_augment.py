import math

import pytest
import torch

from nilatron.core.prior.augment import (
    AugmentSettings,
    draw_batch,
    random_patch,
    synthetic_phase,
    tissue_phase,
    truncated,
)
from nilatron.core.scale import image_scale


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_scale_is_the_upper_percentile_and_never_zero():
    assert image_scale(torch.arange(1001.0)) == pytest.approx(995)
    assert image_scale(torch.zeros(8, 8)) > 0


def test_patches_are_complex_and_repeat_with_their_seed():
    images = [torch.rand(80, 100, generator=generator()), torch.rand(40, 30, generator=generator(1))]
    first, again, other = (draw_batch(images, 6, 48, AugmentSettings(), generator(s)) for s in (3, 3, 4))
    assert first.shape == (6, 2, 48, 48)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.isfinite(first).all()


def test_without_jitter_a_patch_keeps_its_magnitude():
    image = torch.rand(64, 64, generator=generator())
    batch = draw_batch([image], 1, 64, AugmentSettings.phase_only(), generator())
    magnitude = torch.hypot(batch[0, 0], batch[0, 1])
    assert torch.allclose(magnitude.flatten().sort().values, image.flatten().sort().values, atol=1e-3)


def test_the_global_phase_is_uniform():
    flat = AugmentSettings(phase_probability=0.0)
    phases = torch.stack([synthetic_phase((2, 2), flat, generator(s))[0, 0] for s in range(400)])
    assert float(torch.polar(torch.ones(400), phases).mean().abs()) < 0.15
    assert float(phases.abs().max()) <= math.pi


def test_the_smooth_phase_is_smooth():
    for seed in range(20):
        phase = synthetic_phase((96, 96), AugmentSettings(phase_probability=1.0), generator(seed))
        assert float(phase.diff(dim=0).abs().max()) < 1.0
        assert float(phase.diff(dim=1).abs().max()) < 1.0


def as_complex(patch):
    return torch.complex(patch[0], patch[1])


def test_a_complex_image_keeps_its_own_phase_but_for_a_global_one():
    image = torch.randn(40, 40, dtype=torch.complex64, generator=generator())
    patch = as_complex(random_patch(image, 40, AugmentSettings.phase_only(), generator(5)))
    candidates = [torch.rot90(image, k) for k in range(4)]
    candidates += [c.flip(0) for c in candidates]
    agreement = [float((patch.conj() * c).sum().abs() / (patch.norm() * c.norm())) for c in candidates]
    assert max(agreement) == pytest.approx(1, abs=1e-5)
    assert sorted(agreement)[-2] < 0.5


def test_truncation_keeps_what_the_smaller_kspace_holds():
    x = torch.arange(64) / 64
    slow = torch.cos(2 * math.pi * 3 * x)[None, None] * torch.ones(1, 64, 1) + 2
    fast = torch.cos(2 * math.pi * 30 * x)[None, None] * torch.ones(1, 64, 1)
    half = AugmentSettings(truncate=(0.5, 0.5))
    kept = truncated(slow + fast, half, generator())
    x = torch.arange(32) / 32
    assert kept.shape == (1, 32, 32)
    assert torch.allclose(kept, torch.cos(2 * math.pi * 3 * x)[None, None] + 2 + torch.zeros(1, 32, 1), atol=1e-5)


def test_shading_is_smooth_and_positive():
    settings = AugmentSettings(
        resample=(1.0, 1.0), scale=(1.0, 1.0), truncate_probability=0, gamma_probability=0, shading_probability=1.0
    )
    shading = as_complex(random_patch(torch.ones(64, 64), 64, settings, generator(2))).abs()
    assert float(shading.min()) > 0.05
    assert 0.05 < float(shading.std()) < 1
    assert float(shading.diff(dim=0).abs().max()) < 0.1


def test_tissues_have_phases_of_their_own_with_a_step_between_them():
    settings = AugmentSettings(tissue_probability=1.0, rough_probability=0.0)
    magnitude = torch.ones(64, 64)
    magnitude[:, 32:] = 0.3
    steps = []
    for seed in range(30):
        phase = tissue_phase(magnitude, settings, generator(seed))
        within = max(float(phase[:, :32].diff(dim=1).abs().max()), float(phase[:, 32:].diff(dim=1).abs().max()))
        steps.append((float((phase[:, 32] - phase[:, 31]).abs().max()), within))
    assert all(step < 4 * settings.tissue_phase for step, _ in steps)
    assert sum(step > 5 * within for step, within in steps) > 10


def test_a_rough_phase_changes_from_pixel_to_pixel_and_is_small():
    settings = AugmentSettings(tissue_probability=0.0, rough_probability=1.0)
    phases = torch.stack([tissue_phase(torch.ones(64, 64), settings, generator(seed)) for seed in range(40)])
    assert 0.02 < float(phases.std()) < settings.rough_phase
    assert float(phases.diff(dim=-1).std()) > 0.2 * float(phases.std())


def test_without_them_there_is_no_phase_of_tissues():
    assert not tissue_phase(torch.rand(8, 8), AugmentSettings.phase_only(), generator()).any()
