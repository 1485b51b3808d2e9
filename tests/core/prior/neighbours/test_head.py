import pytest
import torch

from nilatron.core.prior.neighbours.head import NeighbourHead, change_of, head_inputs, own_channels
from nilatron.core.prior.neighbours.planes import N_PLANES
from nilatron.core.prior.small_unet import SmallUNetConfig

SHAPE = (13, 10)


@pytest.fixture
def head():
    """A head that says something."""
    torch.manual_seed(0)
    made = NeighbourHead(SmallUNetConfig((4, 4, 4, 4)))
    torch.nn.init.normal_(made.last.weight)
    return made.eval().requires_grad_(False)


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(1)
    return [torch.view_as_complex(torch.randn(2, *SHAPE, 2, generator=generator)) for _ in range(2)]


@pytest.fixture
def planes():
    return torch.rand(2, N_PLANES, *SHAPE, generator=torch.Generator().manual_seed(2))


def test_a_head_that_has_learnt_nothing_changes_nothing(images, planes):
    assert not change_of(NeighbourHead(), *images, 0.1, planes).any()


def test_images_of_any_size_are_changed(head, images, planes):
    change = change_of(head, *images, 0.1, planes)
    assert change.shape == (2, *SHAPE)
    assert change.any(dim=0).all()


def test_far_from_the_object_nothing_is_changed(head):
    x = torch.zeros(1, 64, 48, dtype=torch.complex64)
    x[:, 20:30, 20:26] = 0.5
    change = change_of(head, x, x, 0.03, torch.rand(1, N_PLANES, 64, 48, generator=torch.Generator().manual_seed(3)))
    assert change[:, 12:38, 12:34].any()
    change[:, 12:38, 12:34] = 0
    assert not change.any()


def test_a_global_phase_changes_nothing(head, images, planes):
    turn = torch.polar(torch.ones(()), torch.tensor(1.3))
    turned = change_of(head, *(turn * image for image in images), 0.1, planes)
    assert torch.allclose(turned, change_of(head, *images, 0.1, planes), atol=1e-4)


def test_a_mirrored_slice_is_changed_as_the_slice_is(head, images, planes):
    mirrored = change_of(head, *(image.flip(-2) for image in images), 0.1, planes.flip(-2))
    assert torch.allclose(mirrored.flip(-2), change_of(head, *images, 0.1, planes), atol=1e-5)


def test_inputs_are_finite_where_there_is_nothing(planes):
    nothing = torch.zeros(2, *SHAPE, dtype=torch.complex64)
    assert torch.isfinite(head_inputs(own_channels(nothing, nothing, torch.zeros(2)), 0 * planes)).all()


@pytest.mark.parametrize("channels", [(8, 8, 8), (8, 8, 8, 0)])
def test_a_shape_that_no_head_has_is_refused(channels):
    with pytest.raises(ValueError, match="expected four numbers of channels from 1"):
        SmallUNetConfig(channels)
