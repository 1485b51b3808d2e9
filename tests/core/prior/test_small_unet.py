import pytest
import torch

from nilatron.core.prior.small_unet import MARGIN, SmallUNet, SmallUNetConfig, object_slices, of_any_size


@pytest.fixture
def network():
    torch.manual_seed(0)
    made = SmallUNet(3, SmallUNetConfig((4, 4, 4, 4)))
    torch.nn.init.normal_(made.last.weight)
    return made.eval().requires_grad_(False)


def test_before_it_is_trained_it_says_nothing():
    assert not of_any_size(SmallUNet(3), torch.rand(1, 3, 16, 16)).any()


def test_sides_need_not_be_multiples(network):
    inputs = torch.rand(2, 3, 16, 24, generator=torch.Generator().manual_seed(1))
    whole = of_any_size(network, inputs)
    assert of_any_size(network, inputs[..., :13, :21]).shape == (2, 13, 21)
    assert torch.allclose(whole, network(inputs), atol=1e-5)


@pytest.mark.parametrize("channels", [(8, 8, 8), (8, 8, 8, 8, 8), (8, 8, 0, 8)])
def test_a_shape_that_no_network_has_is_refused(channels):
    with pytest.raises(ValueError, match="expected four numbers of channels from 1"):
        SmallUNetConfig(channels)


def test_the_rectangle_holds_every_object_and_a_margin():
    images = torch.zeros(2, 64, 80, dtype=torch.complex64)
    images[0, 20, 30] = images[1, 40, 50] = 0.5j
    rows, columns = object_slices(images)
    assert (rows, columns) == (slice(20 - MARGIN, 41 + MARGIN), slice(30 - MARGIN, 51 + MARGIN))


def test_an_empty_image_is_looked_at_as_a_whole():
    assert object_slices(torch.zeros(1, 20, 30)) == (slice(0, 20), slice(0, 30))
