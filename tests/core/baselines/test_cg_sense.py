import numpy as np
import pytest
import torch

from nilatron.core.baselines.cg_sense import cg_sense
from nilatron.core.baselines.zero_filled import zero_filled
from nilatron.core.sense import SenseOperator

RNG = np.random.default_rng(0)


def random(*shape):
    return RNG.standard_normal(shape) + 1j * RNG.standard_normal(shape)


def problem(n_batch=1):
    maps = random(3, 1, 6, 5)
    maps /= np.linalg.norm(maps, axis=0)
    counts = np.zeros((1, 6, 5))
    counts[:, ::2] = 1
    counts[:, 3] = 2
    operator = SenseOperator(maps, counts)
    x = 30 * random(n_batch, 1, 6, 5)
    return operator, operator.forward(x) + (counts > 0) * random(n_batch, 3, 1, 6, 5) / np.sqrt(2)


@pytest.mark.parametrize("sigma", [0.5, 1.0, 3.0])
def test_converged_it_is_the_dense_solution(sigma):
    operator, data = problem()
    columns = np.eye(30).reshape(30, 1, 6, 5) + 0j
    matrix = np.stack([operator.normal(column).ravel() for column in columns], axis=1)
    b = operator.adjoint(data[0]).ravel()
    expected_signal = np.mean(np.abs(zero_filled(operator, data[0])) ** 2)
    expected = np.linalg.solve(matrix + sigma**2 / expected_signal * np.eye(30), b)
    found = cg_sense(operator, data[0], sigma=sigma, n_iterations=300, tolerance=1e-12)
    np.testing.assert_allclose(found.ravel(), expected, rtol=1e-6)


@pytest.mark.parametrize("n_averages", [4, 16])
def test_averages_sharpen_the_image_as_less_noise_does(n_averages):
    """n averages of a mean k-space are one measurement of it with noise of variance 1 / n: the prior stays what it is."""
    once, data = problem()
    averaged = SenseOperator(once.coil_maps, once.counts * n_averages)
    mean = data / np.where(once.weights > 0, once.weights, 1)
    found = cg_sense(averaged, averaged.data(mean), n_iterations=300, tolerance=1e-12)
    expected = cg_sense(once, once.data(mean), sigma=n_averages**-0.5, n_iterations=300, tolerance=1e-12)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_batch_elements_do_not_know_each_other():
    operator, data = problem(3)
    data[1] *= 100
    data[2] = 0
    together = cg_sense(operator, data, tolerance=0.0)
    for element, alone in zip(together, data, strict=True):
        np.testing.assert_allclose(element, cg_sense(operator, alone, tolerance=0.0), rtol=1e-8)
    assert not together[2].any()


def test_torch_agrees_and_negative_sigma_is_refused():
    operator, data = problem()
    on_torch = SenseOperator(torch.from_numpy(operator.coil_maps), torch.from_numpy(operator.counts))
    found = cg_sense(on_torch, torch.from_numpy(data))
    np.testing.assert_allclose(found.numpy(), cg_sense(operator, data), rtol=1e-4)
    with pytest.raises(ValueError, match="negative"):
        cg_sense(operator, data, sigma=-1)
