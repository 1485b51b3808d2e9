import math

import pytest
import torch

from nilatron.core.prior.augment import AugmentSettings, draw_batch, image_scale, random_patch, synthetic_phase


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
    settings = AugmentSettings(resample=(1.0, 1.0), scale=(1.0, 1.0), gamma_probability=0.0)
    patch = random_patch(image, 64, settings, generator())
    assert torch.allclose(patch.sort().values.sum(), image.sort().values.sum(), rtol=1e-4)
    batch = draw_batch([image], 1, 64, settings, generator())
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
