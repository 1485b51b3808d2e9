from dataclasses import replace

import pytest
import torch

from nilatron.core.prior.lesions import LesionSettings
from nilatron.core.prior.volumes import NeighbourSettings, Place, Stack, Volumes, blurred

PERFECT = NeighbourSettings(
    drop_probability=0.0, blur=0.0, noise=0.0, ghost_probability=0.0, gain=0.0, other_probability=0.0,
    lesions=LesionSettings(probability=0.0), spacing_mm=(3.0, 3.0),
)  # fmt: skip


def volumes(settings=PERFECT):
    """Two volumes of unlike sizes; slice n of the first has the value n + 1 before scaling, in an order that is not that."""
    order = [3, 0, 4, 1, 2]
    images = [torch.ones(8, 8) for _ in order] + [torch.ones(6, 8)]
    places = [Place(0, 10 + 2 * n, float(n + 1)) for n in order] + [Place(1, 0, 1.0)]
    return Volumes(images, places, settings)


def drawn(source, n=200):
    generator = torch.Generator().manual_seed(0)
    return [source.draw(generator) for _ in range(n)]


def test_neighbours_lie_in_the_same_volume_at_the_stated_distance_with_their_own_brightness():
    n_pairs = 0
    for stack in drawn(volumes()):
        for image, distance in zip(stack.images[1:], stack.distances_mm, strict=True):
            if not distance:
                assert not image.any()
                continue
            n_pairs += 1
            steps = round(distance / 3)
            possible = [(a + s) / a for a in range(1, 6) for s in (steps, -steps) if 1 <= a + s <= 5]
            assert any(abs(float(image[0, 0]) - ratio) < 1e-5 for ratio in possible)
    assert n_pairs > 100


def test_both_sides_are_drawn_and_small_steps_most_often():
    distances = [mm for stack in drawn(volumes()) for mm in stack.distances_mm if mm]
    assert set(distances) == {3.0, 6.0, 9.0, 12.0}
    assert distances.count(3.0) > distances.count(6.0) > distances.count(12.0)


def test_a_slice_that_is_alone_has_none():
    assert all(not any(stack.distances_mm) for stack in drawn(volumes()) if stack.images.shape[-2] == 6)


def test_without_errors_neighbours_are_seen_as_they_are():
    stack = Stack(torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0)), (3.0, 6.0))
    seen = volumes().seen(stack, torch.Generator().manual_seed(1))
    assert torch.allclose(seen.images, stack.images, atol=1e-5)
    assert seen.distances_mm == stack.distances_mm


def test_what_is_dropped_is_gone_and_the_slice_itself_never():
    stack = Stack(torch.ones(3, 8, 8), (3.0, 6.0))
    seen = volumes(replace(PERFECT, drop_probability=1.0)).seen(stack, torch.Generator().manual_seed(1))
    assert seen.distances_mm == (0.0, 0.0)
    assert not seen.images[1:].any()
    assert seen.images[0].all()


@pytest.mark.parametrize(
    "errors",
    [{"noise": 0.1}, {"gain": 0.2}, {"ghost_probability": 1.0}, {"other_probability": 1.0}, {"blur": 3.0},
     {"lesions": LesionSettings(probability=1.0)}],
)  # fmt: skip
def test_every_error_changes_the_neighbours_and_not_the_slice(errors):
    generator = torch.Generator().manual_seed(0)
    images = [torch.rand(16, 16, generator=generator) + 0.5 for _ in range(3)]
    source = Volumes(images, [Place(0, n, 1.0) for n in range(3)], replace(PERFECT, **errors))
    stack = Stack(torch.stack(images), (3.0, 3.0))
    seen = [source.seen(stack, torch.Generator().manual_seed(seed)) for seed in range(8)]
    assert all(torch.equal(one.images[0], images[0]) for one in seen)
    assert any(not torch.allclose(one.images[1], images[1], atol=1e-4) for one in seen)


def test_blurring_keeps_the_mean_and_lowers_the_contrast():
    image = torch.rand(16, 16, generator=torch.Generator().manual_seed(0))
    smooth = blurred(image, 1.0)
    assert float(smooth.mean()) == pytest.approx(float(image.mean()), rel=1e-5)
    assert smooth.std() < 0.6 * image.std()


@pytest.mark.parametrize("wrong", [{"max_step": 0}, {"drop_probability": 1.5}, {"spacing_mm": (0.0, 3.0)}])
def test_values_outside_their_range_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        NeighbourSettings(**wrong)
