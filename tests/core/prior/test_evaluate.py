import math

import pytest
import torch

from nilatron.core.prior.evaluate import Comparison, compare, draw_clean_and_noise, mean_square_error, pooled

IMAGES = [torch.ones(48, 40), torch.full((33, 57), 0.5, dtype=torch.float16)]


def leave(noisy, sigma):  # noqa: ARG001
    return noisy


def test_a_scene_has_the_magnitude_and_unit_noise():
    clean, noise = draw_clean_and_noise(torch.rand(96, 128, generator=torch.Generator().manual_seed(0)), 5)
    expected = torch.rand(96, 128, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(clean.abs(), expected, atol=1e-6)
    assert clean.angle().std() > 0.01
    assert float(noise.abs().square().mean()) == pytest.approx(1, rel=0.03)
    assert float(noise.real.square().mean()) == pytest.approx(0.5, rel=0.05)


def test_scenes_are_seeded_and_complex_images_keep_their_phase():
    first, again, other = (draw_clean_and_noise(IMAGES[0], seed) for seed in (1, 1, 2))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.allclose(first[0], other[0])
    image = torch.randn(20, 30, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(draw_clean_and_noise(image, 1)[0], image)


def test_the_error_is_per_real_component():
    clean = torch.zeros(4, 5, dtype=torch.complex64)
    assert mean_square_error(clean + (3 + 4j), clean) == pytest.approx(12.5)


def test_a_denoiser_that_does_nothing_has_the_error_of_the_noise():
    found = compare(leave, lambda noisy, sigma: noisy / (1 + sigma**2), IMAGES, 0.2, source="ones")
    assert found.rmse == pytest.approx(0.2 / math.sqrt(2), rel=0.05)
    assert (found.n_images, found.source, found.sigma) == (2, "ones", 0.2)
    assert found.ratio == found.rmse / found.reference_rmse != 1


def test_both_denoisers_see_the_same_images_whatever_their_order():
    seen = []

    def watch(noisy, sigma):
        seen.append((noisy - sigma * draw_clean_and_noise(IMAGES[len(seen) // 2], 7 + len(seen) // 2)[1]).abs().mean())
        return noisy

    found = compare(watch, watch, IMAGES, 0.1, source="s", seed=7)
    assert [float(value) for value in seen] == pytest.approx([1, 1, 0.5, 0.5], rel=1e-3)
    assert found.ratio == 1


def test_every_image_counts_the_same_when_sources_are_pooled():
    rows = [Comparison("a", 0.1, 1, 4.0, 1.0), Comparison("b", 0.1, 3, 8.0, 2.0)]
    assert pooled(rows) == Comparison("all", 0.1, 4, 7.0, 1.75)
    assert pooled(rows).ratio == 2
    with pytest.raises(ValueError, match="at one noise level"):
        pooled([rows[0], Comparison("b", 0.2, 3, 8.0, 2.0)])
    with pytest.raises(ValueError, match="at one noise level"):
        pooled([])


def test_ratios_of_perfect_denoisers():
    assert Comparison("a", 0.1, 1, 0.0, 0.0).ratio == 1
    assert Comparison("a", 0.1, 1, 1.0, 0.0).ratio == math.inf


def test_no_images_is_an_error():
    with pytest.raises(ValueError, match="no images of 'none'"):
        compare(leave, leave, [], 0.1, source="none")
