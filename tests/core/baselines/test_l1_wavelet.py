import numpy as np
import pytest
import torch

from nilatron.core.baselines.cg_sense import cg_sense
from nilatron.core.baselines.l1_wavelet import L1WaveletSettings, l1_wavelet, laplace_regularisation
from nilatron.core.metrics import psnr
from nilatron.core.sense import SenseOperator
from nilatron.core.wavelet import Wavelet

RNG = np.random.default_rng(0)


def problem(shape=(1, 90, 75), acceleration=3, scale=40):
    n_y, n_x = shape[1:]
    y, x = np.mgrid[-1 : 1 : n_y * 1j, -1 : 1 : n_x * 1j]
    image = scale * ((x**2 + y**2 < 0.7) * 1.0 - 0.5 * (np.abs(x) + np.abs(y - 0.2) < 0.3))[None] + 0j
    angles = 2 * np.pi * np.arange(6) / 6
    maps = np.stack([np.exp(-((x - np.cos(a)) ** 2 + (y - np.sin(a)) ** 2) + 1j * a)[None] for a in angles])
    maps /= np.linalg.norm(maps, axis=0)
    counts = np.zeros(shape)
    counts[:, ::acceleration] = 1
    counts[:, n_y // 2 - 8 : n_y // 2 + 8] = 1
    operator = SenseOperator(maps.astype(np.complex64), counts)
    noise = (RNG.standard_normal(maps.shape) + 1j * RNG.standard_normal(maps.shape)) / np.sqrt(2)
    data = (operator.forward(image) + (counts > 0) * noise).astype(np.complex64)
    return operator, data, image


@pytest.mark.slow
@pytest.mark.parametrize("scale", [15, 60])
def test_own_lambda_is_near_the_oracle_and_better_than_cg_sense(scale):
    operator, data, image = problem(scale=scale)
    settings = L1WaveletSettings(n_iterations=40)
    own = psnr(l1_wavelet(operator, data, settings=settings), image)
    weight = laplace_regularisation(Wavelet(image.shape), cg_sense(operator, data), 1.0)
    grid = [weight * factor for factor in (0.25, 0.5, 1, 2, 4)]
    oracle = max(psnr(l1_wavelet(operator, data, regularisation=v, settings=settings), image) for v in grid)
    assert own > oracle - 1.5
    assert own > psnr(cg_sense(operator, data), image) + 3


def test_fully_sampled_without_shifts_it_is_one_soft_threshold():
    shape = (1, 32, 64)  # no padding, so the objective separates in the wavelet domain
    operator = SenseOperator(np.ones((1, *shape), complex), np.ones(shape))
    x = RNG.standard_normal(shape) + 1j * RNG.standard_normal(shape)
    found = l1_wavelet(operator, operator.forward(x), regularisation=0.8, generator=NoShift())
    np.testing.assert_allclose(found, Wavelet(shape).shrink(x, 0.8), atol=1e-6)


class NoShift(np.random.Generator):
    def __init__(self):
        super().__init__(np.random.PCG64(0))

    def integers(self, *_):
        return 0


@pytest.mark.slow
def test_scales_with_the_data_and_their_noise():
    operator, data, _ = problem()
    image = l1_wavelet(operator, data)
    np.testing.assert_allclose(l1_wavelet(operator, 10 * data, sigma=10.0), 10 * image, rtol=1e-2, atol=0.05)


@pytest.mark.slow
def test_averages_sharpen_the_image_as_less_noise_does():
    """Four averages of a mean k-space are one measurement of it with noise of half the standard deviation."""
    once, data, _ = problem((1, 48, 48))
    averaged = SenseOperator(once.coil_maps, 4 * once.counts)
    found = l1_wavelet(averaged, averaged.data(data), regularisation=0.4)
    expected = l1_wavelet(once, data, sigma=0.5, regularisation=0.1)
    assert psnr(found, expected) > 80


def test_seeded_and_torch_agrees():
    operator, data, _ = problem((1, 40, 33))
    few = L1WaveletSettings(n_iterations=10)
    first = l1_wavelet(operator, data, generator=np.random.default_rng(5), settings=few)
    np.testing.assert_array_equal(first, l1_wavelet(operator, data, generator=np.random.default_rng(5), settings=few))
    on_torch = SenseOperator(torch.from_numpy(operator.coil_maps), torch.from_numpy(operator.counts))
    found = l1_wavelet(on_torch, torch.from_numpy(data), generator=np.random.default_rng(5), settings=few)
    np.testing.assert_allclose(found.numpy(), first, atol=1e-4 * np.abs(first).max())


def test_empty_data_and_negative_lambda():
    operator, data, _ = problem((1, 40, 33))
    assert not l1_wavelet(operator, 0 * data).any()
    with pytest.raises(ValueError, match="negative"):
        l1_wavelet(operator, data, regularisation=-1.0)
