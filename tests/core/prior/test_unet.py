import pytest
import torch

from nilatron.core.prior.unet import ARCHITECTURES, UNet, UNetConfig


@pytest.mark.parametrize(("name", "most"), [("tiny", 0.5e6), ("default", 2.5e6), ("large", 8e6)])
def test_the_widths_stay_in_their_classes(name, most):
    with torch.device("meta"):
        n_parameters = sum(p.numel() for p in UNet(ARCHITECTURES[name]).parameters())
    assert most / 2 < n_parameters < most


def test_the_output_starts_at_zero_and_has_the_input_shape():
    network = UNet(UNetConfig((8, 16, 24), (1, 2, 1), 16))
    out = network(torch.randn(2, 2, 24, 40), torch.zeros(2))
    assert out.shape == (2, 2, 24, 40)
    assert not out.any()


def test_every_parameter_gets_a_gradient():
    network = UNet(UNetConfig((8, 16), (1, 1), 16))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    network(torch.randn(1, 2, 16, 16, generator=generator), torch.tensor([-0.5])).square().sum().backward()
    assert all(p.grad is not None and bool(p.grad.any()) for p in network.parameters())


@pytest.mark.parametrize("arguments", [((8, 16), (1,), 8), ((), (), 8), ((7,), (1,), 8), ((8,), (0,), 8)])
def test_impossible_shapes_are_refused(arguments):
    with pytest.raises(ValueError, match="must"):
        UNetConfig(*arguments)
