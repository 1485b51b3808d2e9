import numpy as np
import pytest
import torch

from nilatron.core.fft import fft, ifft

RNG = np.random.default_rng(0)
SHAPES = [(2, 1, 8, 6), (3, 1, 7, 5), (2, 5, 6, 9), (4, 1, 1, 1)]


def random(shape, dtype=np.complex128):
    return (RNG.standard_normal(shape) + 1j * RNG.standard_normal(shape)).astype(dtype)


@pytest.mark.parametrize("shape", SHAPES)
def test_unitary(shape):
    x, y = random(shape), random(shape)
    np.testing.assert_allclose(ifft(fft(x)), x, atol=1e-12)
    assert np.vdot(y, fft(x)) == pytest.approx(np.vdot(ifft(y), x))
    assert np.linalg.norm(fft(x)) == pytest.approx(np.linalg.norm(x))


@pytest.mark.parametrize("shape", SHAPES)
def test_definition_and_torch(shape):
    x = random(shape, np.complex64)
    axes = (-3, -2, -1)
    expected = np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(x, axes), axes=axes, norm="ortho"), axes)
    assert fft(x).dtype == np.complex64
    np.testing.assert_allclose(fft(x), expected, atol=1e-5)
    np.testing.assert_allclose(fft(torch.from_numpy(x)).numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("n", [8, 9])
def test_dc_is_at_half_the_size(n):
    kspace = fft(np.ones((1, n, n), np.complex64))
    assert kspace[0, n // 2, n // 2] == pytest.approx(n)
    kspace[0, n // 2, n // 2] = 0
    assert np.abs(kspace).max() < 1e-5


def test_only_the_named_axes_are_transformed():
    x = random((2, 3, 4, 6))
    np.testing.assert_allclose(fft(fft(x, (-1,)), (-2, -3)), fft(x), atol=1e-12)
