import pytest
import torch

from nilatron.core.prior.errors.head import (
    N_INPUTS,
    Delivered,
    ErrorHead,
    ErrorHeadConfig,
    gaussian_loss,
    head_inputs,
    ln_variance,
)


def seen(shape=(2, 21, 30), seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = [torch.view_as_complex(torch.randn(*shape, 2, generator=generator)) for _ in range(4)]
    return Delivered(
        *images, noise=torch.tensor([0.05, 0.1]), share=torch.tensor([0.3, 0.5]), misfit=torch.tensor([1.0, 1.4])
    )


@pytest.fixture
def head():
    torch.manual_seed(0)
    head = ErrorHead(ErrorHeadConfig((8, 8, 8))).eval()
    torch.nn.init.normal_(head.last.weight)
    return head


def test_any_size_gets_a_variance_of_each_pixel(head):
    for shape in ((2, 21, 30), (2, 5, 4)):
        assert ln_variance(head, seen(shape)).shape == shape


def test_a_global_phase_changes_nothing(head):
    first = seen()
    turn = torch.polar(torch.tensor(1.0), torch.tensor(1.3))
    turned = first._replace(
        image=first.image * turn,
        conventional=first.conventional * turn,
        last_input=first.last_input * turn,
        last_estimate=first.last_estimate * turn,
    )
    torch.testing.assert_close(ln_variance(head, turned), ln_variance(head, first), rtol=1e-4, atol=1e-4)


def test_slices_do_not_see_each_other(head):
    both = seen()
    alone = Delivered(*(part[:1] for part in both))
    torch.testing.assert_close(ln_variance(head, both)[:1], ln_variance(head, alone), rtol=1e-4, atol=1e-4)


def test_an_image_of_zeros_has_finite_inputs():
    empty = Delivered(
        *(0 * image for image in seen()[:4]), noise=torch.tensor([0.05, 0.1]), share=torch.ones(2), misfit=torch.ones(2)
    )
    inputs = head_inputs(empty)
    assert inputs.shape[1] == N_INPUTS
    assert torch.isfinite(inputs).all()


def test_the_loss_is_smallest_at_the_variance_of_the_errors():
    error = torch.randn(1, 100, 100, generator=torch.Generator().manual_seed(1)) * 0.3
    weight = torch.ones_like(error)
    losses = {
        factor: float(gaussian_loss(torch.full_like(error, 2 * factor).log() - torch.tensor(2.0).log(), error, weight))
        for factor in (0.045, 0.09, 0.18)
    }
    assert min(losses, key=losses.__getitem__) == 0.09


def test_levels_that_no_head_has_are_refused():
    with pytest.raises(ValueError, match="three numbers"):
        ErrorHeadConfig((8, 8))  # type: ignore[arg-type]
