import pytest
import torch

from nilatron.core.prior.correction_training import (
    BACKGROUND,
    LESIONS,
    Crops,
    crop_of,
    crops_of,
    example,
    rate_factor,
    train_step,
)
from nilatron.core.prior.small_unet import CORRECTION_UNIT, SmallUNet, SmallUNetConfig


def flat(value, n=8):
    return torch.full((n, n), value)


def an_example(n=8):
    lesions = torch.zeros(n, n)
    lesions[2, 2] = 0.3
    return example(torch.rand(3, n, n), flat(1.0, n), flat(1.1, n), lesions)


def test_an_example_counts_lesions_more_and_air_less():
    truth = flat(1.0)
    truth[0] = 0.01
    lesions = torch.zeros(8, 8)
    lesions[0, 0] = lesions[4, 4] = -0.2
    found = example(torch.zeros(2, 8, 8), flat(0.9), truth, lesions)
    assert float(found.weight[4, 4]) == 1 + LESIONS
    assert float(found.weight[3, 3]) == 1
    assert torch.allclose(found.weight[0].float(), torch.tensor(BACKGROUND), rtol=1e-3)
    assert not found.lesions[0].any()


@pytest.mark.parametrize("size", [4, 8, 12])
def test_crops_have_their_size_and_count_relative_to_the_error_of_the_slice(size):
    one = example(torch.rand(3, 8, 8), flat(1.0), flat(1.1), torch.zeros(8, 8))
    crop = crop_of(one, size, torch.Generator().manual_seed(0))
    assert crop.inputs.shape == (1, 3, size, size)
    inside = crop.weight > 0
    assert int(inside.sum()) == min(size, 8) ** 2
    assert float((crop.weight * crop.error.square())[inside].mean()) == pytest.approx(1, rel=1e-2)


def test_all_planes_of_a_crop_are_flipped_alike():
    image = torch.rand(16, 16, generator=torch.Generator().manual_seed(0)) + 0.5
    one = example(image[None], torch.zeros(16, 16), image, image)
    for seed in range(8):
        crop = crop_of(one, 8, torch.Generator().manual_seed(seed))
        assert torch.equal(crop.inputs[0, 0], crop.error[0])
        assert torch.equal(crop.lesions, crop.error)


def test_crops_repeat_with_their_seed():
    examples = [an_example(), an_example()]
    first, second = (crops_of(examples, 4, 6, torch.Generator().manual_seed(3)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_the_rate_rises_and_falls_to_nothing():
    rates = [rate_factor(step, 1000) for step in range(1001)]
    assert rates[0] < 0.02 < rates[50] < rates[99] > rates[500] > rates[999]
    assert rates[-1] == pytest.approx(0)


def trained(lesions, contrast_weight):
    """What a head says of two crops that look alike, whose errors are 0.2 and -0.1."""
    torch.manual_seed(0)
    head = SmallUNet(1, SmallUNetConfig((4, 4, 4, 4)))
    optimiser = torch.optim.Adam(head.parameters(), lr=2e-2)
    inputs = torch.ones(2, 1, 8, 8)
    error = torch.stack((flat(0.2), flat(-0.1)))
    for _ in range(150):
        train_step(head, optimiser, Crops(inputs, error, torch.ones(2, 8, 8), lesions), contrast_weight)
    return CORRECTION_UNIT * float(head(inputs).detach().mean())


@pytest.mark.slow
def test_without_lesions_a_head_finds_the_mean_error():
    none = torch.zeros(2, 8, 8)
    # the loss is relative to each crop's own error
    weights = torch.tensor([1 / (0.04 + 0.3), 1 / (0.01 + 0.3)])
    expected = float((weights * torch.tensor([0.2, -0.1])).sum() / weights.sum())
    assert trained(none, 0.0) == pytest.approx(expected, abs=5e-3)
    assert trained(none, 10.0) == pytest.approx(expected, abs=5e-3)


@pytest.mark.slow
def test_missing_contrast_of_lesions_counts_more_than_the_mean_error():
    lesions = torch.stack((flat(0.5), flat(0.0)))
    assert trained(lesions, 10.0) > trained(lesions, 0.0) + 0.05


def test_a_step_says_what_the_error_was_and_is():
    head = SmallUNet(3, SmallUNetConfig((4, 4, 4, 4)))
    crops = crops_of([an_example()], 2, 8, torch.Generator().manual_seed(0))
    after, before = train_step(head, torch.optim.SGD(head.parameters(), lr=0.0), crops, 1.0)
    assert after == pytest.approx(before)
