import numpy as np
import pytest

from nilatron.core.backend import complex_normal, to_torch
from nilatron.core.fft import fft
from nilatron.core.kspace import centre_block
from nilatron.core.quality.background import energy_outside

SHAPE = (1, 64, 64)
Y, X = np.meshgrid(np.arange(64) - 32, np.arange(64) - 32, indexing="ij")
DISC = (100 * (Y**2 + X**2 < 14**2)).astype(np.complex64)[None]
BLOCK = centre_block(fft(DISC)[None], 24)


def test_an_object_alone_has_nothing_outside():
    assert energy_outside(DISC, BLOCK, 1.0) == 0


def test_noise_is_no_signal():
    noise = complex_normal(np.random.default_rng(0), SHAPE, DISC)
    assert energy_outside(DISC + noise, BLOCK, 1.0) < 0.01


@pytest.mark.parametrize("strength", [0.2, 0.5])
def test_a_copy_outside_has_its_share(strength):
    image = DISC + strength * np.roll(DISC, 32, axis=1)
    expected = strength / np.sqrt(1 + strength**2)
    assert energy_outside(image, BLOCK, 1.0) == pytest.approx(expected, rel=0.35)
    assert energy_outside(to_torch(image), to_torch(BLOCK), 1.0) == pytest.approx(energy_outside(image, BLOCK, 1.0))


def test_an_object_that_fills_the_field_of_view_has_no_background():
    full = np.full(SHAPE, 100, np.complex64)
    assert energy_outside(full, np.ones((1, 1, 24, 24), np.complex64) * 0, 1.0) == pytest.approx(1, abs=1e-3)
    delta = np.zeros((1, 1, 24, 24), np.complex64)
    delta[..., 12, 12] = 1e4
    assert energy_outside(full, delta, 1.0) == 0


def test_no_image_no_signal():
    assert energy_outside(0 * DISC, BLOCK, 1.0) == 0
