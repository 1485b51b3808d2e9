import pytest
import torch

from nilatron.core.prior.errors.head import Delivered
from nilatron.core.prior.second_look.head import SecondLook, looked_again
from nilatron.core.prior.small_unet import SmallUNetConfig


@pytest.fixture
def seen():
    generator = torch.Generator().manual_seed(0)
    image, conventional, x, estimate = (
        torch.view_as_complex(torch.randn(2, 20, 26, 2, generator=generator)) for _ in range(4)
    )
    numbers = torch.tensor([0.05, 0.1])
    return Delivered(image, conventional, x, estimate, numbers, numbers, numbers)


@pytest.fixture
def head():
    torch.manual_seed(0)
    made = SecondLook(SmallUNetConfig((4, 4, 4, 4)))
    torch.nn.init.normal_(made.last.weight)
    return made.eval().requires_grad_(False)


def test_a_head_that_has_learnt_nothing_changes_nothing(seen):
    assert torch.equal(looked_again(SecondLook(), seen), seen.image)


def test_magnitudes_change_and_phases_stay(head, seen):
    found = looked_again(head, seen)
    changed = (found.abs() - seen.image.abs()).abs()
    assert float(changed.median()) > 1e-3
    kept = found.abs() > 1e-3
    assert torch.allclose((found / seen.image)[kept].imag, torch.zeros(()), atol=1e-5)
    assert bool(((found / seen.image)[kept].real >= 0).all())


def test_pixels_without_signal_stay_so(head, seen):
    image = seen.image.clone()
    image[:, 3:5] = 0
    assert not looked_again(head, seen._replace(image=image))[:, 3:5].any()


def test_images_of_a_batch_do_not_know_each_other(head, seen):
    alone = looked_again(head, Delivered(*(part[:1] for part in seen)))
    assert torch.allclose(looked_again(head, seen)[:1], alone, atol=1e-5)


def test_far_from_the_object_nothing_is_changed(head):
    image = torch.zeros(1, 64, 48, dtype=torch.complex64)
    image[:, 20:30, 20:26] = 0.5
    image[:, 60] = 0.01
    numbers = torch.tensor([0.05])
    found = looked_again(head, Delivered(image, image, image, image, numbers, numbers, numbers))
    assert torch.equal(found[:, 60], image[:, 60])
    assert not torch.equal(found, image)
