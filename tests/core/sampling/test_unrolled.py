import math

import numpy as np
import pytest
import torch

from nilatron.core.prior.prior import Estimate
from nilatron.core.sampling.nila_fast import SolverSettings, nila_fast
from nilatron.core.sampling.unrolled import differentiable_solve, log_error
from nilatron.core.sense import SenseOperator

EXACT = {"tolerance": 1e-12, "min_change": 0.0, "max_iterations": 60}


@pytest.fixture
def system():
    generator = torch.Generator().manual_seed(0)
    factor = torch.randn(12, 12, dtype=torch.complex128, generator=generator)
    matrix = factor @ factor.conj().T / 12 + torch.eye(12)
    b = torch.randn(1, 12, dtype=torch.complex128, generator=generator).reshape(1, 1, 3, 4)

    def apply(x):
        return (matrix @ x.reshape(12)).reshape(1, 1, 3, 4)

    return matrix, apply, b


def test_its_solution_is_that_of_conjugate_gradients(system):
    matrix, apply, b = system
    solution = differentiable_solve(apply, b, torch.zeros_like(b), **EXACT)
    assert torch.allclose(matrix @ solution.x.reshape(12), b.reshape(12), atol=1e-9)
    assert 0 < solution.n_iterations <= 60
    assert solution.residual < 1e-9


def test_its_derivative_is_that_of_the_exact_solution(system):
    matrix, apply, b = system
    target = torch.randn(12, dtype=torch.complex128, generator=torch.Generator().manual_seed(1))
    first, second = (b.clone().requires_grad_(True) for _ in range(2))
    found = differentiable_solve(apply, first, torch.zeros_like(b), **EXACT).x.reshape(12)
    expected = torch.linalg.solve(matrix, second.reshape(12))
    for solution in (found, expected):
        (solution - target).abs().square().sum().backward()
    assert torch.allclose(first.grad, second.grad, rtol=0.02, atol=0.02 * float(second.grad.abs().max()))


def sampled(variance, *, solve):
    """The image of a prior CN(0, variance): a function of one weight."""
    rng = np.random.default_rng(2)
    shape = (3, 1, 12, 12)
    maps = rng.standard_normal((*shape, 2)).view(np.complex128)[..., 0]
    maps /= np.sqrt(np.sum(np.abs(maps) ** 2, axis=0))
    counts = np.zeros(shape[1:])
    counts[:, ::2] = 1
    operator = SenseOperator(torch.from_numpy(maps), torch.from_numpy(counts))
    data = operator.data(torch.from_numpy(rng.standard_normal((*shape, 2)).view(np.complex128)[..., 0]))
    return nila_fast(
        lambda x, level: Estimate(x * variance / (variance + level**2)),
        operator,
        data,
        (0.8, 0.4, 0.2),
        start=operator.adjoint(data)[None],
        sigma=0.5,
        scale=2.0,
        tau=0.0,
        generator=np.random.default_rng(0),
        solver=SolverSettings(tolerance=1e-10, max_iterations=40),
        momentum=0.4,
        solve=solve,
    ).image


def test_the_derivative_through_the_whole_sampler_is_the_limit_of_differences():
    def energy(variance):
        return sampled(variance, solve=differentiable_solve).abs().square().sum()

    variance = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    energy(variance).backward()
    with torch.no_grad():
        difference = (energy(variance + 1e-4) - energy(variance - 1e-4)) / 2e-4
    assert float(variance.grad) == pytest.approx(float(difference), rel=0.01)


def test_the_error_of_magnitude_and_phase():
    truth = torch.polar(torch.ones(1, 8, 8), torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(0)))
    assert float(log_error(truth, truth, 1.0)) < -20
    assert float(log_error(1.1 * truth, truth, 1.0)) == pytest.approx(math.log(1.75 * 0.01), abs=1e-3)
    turned = truth * torch.polar(torch.tensor(1.0), torch.tensor(0.1))  # the magnitude is right
    assert float(log_error(turned, truth, 1.0)) == pytest.approx(math.log(0.25 * 0.01), abs=0.01)


def test_what_is_dim_counts_as_complex_only():
    truth = torch.zeros(1, 8, 8, dtype=torch.complex64)
    truth[0, 0] = 1
    wrong = truth.clone()
    wrong[0, 4] = 0.07
    assert float(log_error(wrong, truth, 1.0)) == pytest.approx(math.log(0.25 * 0.07**2), abs=1e-3)


def test_an_image_of_zeros_has_a_derivative():
    image = torch.zeros(1, 8, 8, dtype=torch.complex64, requires_grad=True)
    log_error(image, torch.ones(1, 8, 8, dtype=torch.complex64), 1.0).backward()
    assert torch.isfinite(torch.view_as_real(image.grad)).all()


def test_an_empty_scan_is_no_number_out_of_range():
    empty = torch.zeros(1, 8, 8, dtype=torch.complex64)
    assert math.isfinite(float(log_error(empty + 1, empty, 1.0)))
