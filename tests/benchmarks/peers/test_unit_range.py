"""Complex images as channels in [0, 1]: the conversions that samplers of others depend on."""

import math

import numpy as np
import pytest
import torch

from nilatron.core.sense import SenseOperator
from peers.unit_range import OFFSET, UnitRange, as_channels, as_complex

UNIT = UnitRange(1.4)


def random_image(seed=0, shape=(1, 6, 8)):
    return torch.randn(shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(seed))


def test_channels_and_image_are_inverse():
    image = random_image()
    torch.testing.assert_close(UNIT.image(UNIT.channels(image)), image)
    torch.testing.assert_close(as_complex(as_channels(image)), image)


def test_the_bound_becomes_one_and_its_negative_zero():
    corners = torch.tensor([[[1.4 + 1.4j, -1.4 - 1.4j, 0]]])
    torch.testing.assert_close(UNIT.channels(corners)[0, :, 0], torch.tensor([[1.0, 0.0, 0.5], [1.0, 0.0, 0.5]]))


def test_the_measurement_follows_the_image():
    generator = np.random.default_rng(1)
    maps = (generator.standard_normal((3, 1, 6, 8)) + 1j * generator.standard_normal((3, 1, 6, 8))).astype(np.complex64)
    operator = SenseOperator(maps, np.ones((1, 6, 8), np.float32))
    image = random_image()
    data = torch.from_numpy(operator.forward(image.numpy()))
    offset_data = torch.from_numpy(operator.forward(np.full((1, 6, 8), OFFSET, np.complex64)))
    of_channels = operator.forward(as_complex(UNIT.channels(image)).numpy())
    torch.testing.assert_close(UNIT.measurement(data, offset_data), torch.from_numpy(of_channels), rtol=1e-4, atol=1e-4)


def test_noise_of_a_channel_is_that_of_converted_noise():
    noise = 0.2 * random_image(2, (1, 200, 200))  # complex standard deviation 0.2
    channels = UNIT.channels(noise) - UNIT.channels(torch.zeros_like(noise))
    assert float(channels.std()) == pytest.approx(UNIT.channel_sigma(0.2), rel=0.02)
    assert UNIT.complex_sigma(UNIT.channel_sigma(0.2)) == pytest.approx(0.2)
    assert UnitRange(1.0).channel_sigma(2 * math.sqrt(2)) == pytest.approx(1.0)
