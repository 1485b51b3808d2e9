import pytest
import torch

from nilatron.core.prior.neighbours.matching import N_MATCHED, SHIFTS, matched, patch_mean


@pytest.fixture
def image():
    return torch.rand(1, 24, 30, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("shift", sorted({(s.y, s.x + s.step * n) for s in SHIFTS for n in range(s.n)}))
def test_an_image_that_moved_is_found_again(image, shift):
    moved = image.roll(shift, (-2, -1))
    found = matched(image, moved[:, None], torch.ones(1, 1))
    inside = (..., slice(8, -8), slice(8, -8))
    narrowest = found[:, -2]
    assert narrowest[inside].abs().max() < 1e-3
    assert shift == (0, 0) or (moved - image)[inside].abs().max() > 0.5


def test_shifts_are_dense_in_the_middle_and_the_same_in_all_directions():
    shifts = [(s.y, s.x + s.step * n) for s in SHIFTS for n in range(s.n)]
    assert len(set(shifts)) == len(shifts)
    assert {(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)} < set(shifts)
    assert {(-y, x) for y, x in shifts} == {(y, -x) for y, x in shifts} == {(x, y) for y, x in shifts} == set(shifts)


def test_what_is_not_there_has_no_part(image):
    other = torch.rand(1, 24, 30, generator=torch.Generator().manual_seed(1))
    alone = matched(image, image[:, None], torch.ones(1, 1))
    beside = matched(image, torch.stack((image, other), dim=1), torch.tensor([[1.0, 0.0]]))
    assert torch.allclose(alone, beside, atol=1e-6)


def test_where_nothing_is_alike_nothing_is_said(image):
    found = matched(image, image[:, None] + 5, torch.ones(1, 1))
    assert found.shape == (1, N_MATCHED, 24, 30)
    assert not found.abs().max() > 1e-6


def test_flat_images_are_alike_everywhere():
    flat = torch.full((1, 12, 12), 0.5)
    found = matched(flat, flat[:, None], torch.ones(1, 1))
    assert torch.allclose(found[:, -1], torch.ones(1, 12, 12))
    assert found[:, :-1].abs().max() < 1e-4


@pytest.mark.parametrize("side", range(3, 10))
def test_the_mean_over_patches(image, side):
    expected = image.unfold(-2, side, 1).unfold(-2, side, 1).mean((-2, -1))
    assert torch.allclose(patch_mean(image, side), expected, atol=1e-6)
