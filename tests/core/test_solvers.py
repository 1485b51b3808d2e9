from itertools import pairwise

import numpy as np
import pytest
import torch

from nilatron.core import solvers
from nilatron.core.solvers import conjugate_gradient, fista
from nilatron.core.wavelet import soft_threshold

RNG = np.random.default_rng(0)


def random(*shape):
    return RNG.standard_normal(shape) + 1j * RNG.standard_normal(shape)


ROOT = random(12, 12)
MATRIX = ROOT @ ROOT.conj().T + 0.5 * np.eye(12)


def times(x):
    return (MATRIX @ x.reshape(*x.shape[:-3], 12, 1)).reshape(x.shape)


def test_cg_equals_the_dense_solve_for_each_batch_element():
    b = random(3, 1, 3, 4)
    b[1] *= 1e-6  # a faint element is solved as well as a bright one
    solution = conjugate_gradient(times, b, np.zeros_like(b), tolerance=1e-10, max_iterations=60)
    expected = np.linalg.solve(MATRIX, b.reshape(3, 12, 1)).reshape(b.shape)
    for found, element in zip(solution.x, expected, strict=True):
        np.testing.assert_allclose(found, element, rtol=1e-6, atol=1e-8 * np.abs(element).max())
    assert solution.residual <= 1e-10


def test_cg_starts_at_zero_without_a_product_for_it():
    b, products = random(2, 1, 3, 4), []

    def counted(x):
        products.append(x)
        return times(x)

    found = conjugate_gradient(counted, b, tolerance=0.0, max_iterations=3)
    assert len(products) == 3
    expected = conjugate_gradient(times, b, np.zeros_like(b), tolerance=0.0, max_iterations=3)
    np.testing.assert_array_equal(found.x, expected.x)


def test_cg_survives_zero_data_and_an_exact_start():
    b = random(2, 1, 3, 4)
    b[0] = 0
    exact = np.linalg.solve(MATRIX, b.reshape(2, 12, 1)).reshape(b.shape)
    solution = conjugate_gradient(times, b, exact, tolerance=0.0, max_iterations=20)
    np.testing.assert_allclose(solution.x, exact, atol=1e-9)
    assert not solution.x[0].any()


def test_cg_stops_where_an_iteration_changes_little_each_element_for_itself():
    b = random(2, 1, 3, 4)
    b[1] *= 1e-3
    paths = [conjugate_gradient(times, b, tolerance=0.0, max_iterations=n).x for n in range(9)]
    changes = np.array(
        [np.sqrt(np.mean(np.abs(after - before) ** 2, (-3, -2, -1))) for before, after in pairwise(paths)]
    )
    bound = 1.01 * changes[:5, 0].min()
    found = conjugate_gradient(times, b, tolerance=0.0, min_change=bound, max_iterations=8)
    last = [1 + int(np.argmax(changes[:, element] < bound)) for element in (0, 1)]
    assert last[0] > last[1] == 1
    assert found.iterations.ravel().tolist() == last
    for element in (0, 1):
        np.testing.assert_allclose(found.x[element], paths[last[element]][element], rtol=1e-10)


@pytest.mark.parametrize("iteration", [1, 2, 3])
@pytest.mark.parametrize(("share", "n_more"), [(0.999, 1), (1.001, 0)])
def test_cg_stops_after_the_first_iteration_of_less_than_the_least_change(iteration, share, n_more):
    """Iteration k ends at V (V^H A V)^-1 V^H b with V = (b, A b, ..., A^(k-1) b)."""
    gains, b = np.array([1.0, 1.5, 2.0, 3.0]), np.array([1.0, 2j, -1.0, 3.0])
    ends = [np.zeros(4, complex)]
    for n in (1, 2, 3, 4):
        krylov = np.stack([gains**k * b for k in range(n)], axis=1)
        ends.append(krylov @ np.linalg.solve(krylov.conj().T @ (gains[:, None] * krylov), krylov.conj().T @ b))
    changes = [np.sqrt(np.mean(np.abs(after - before) ** 2)) for before, after in pairwise(ends)]
    assert all(later < 0.9 * earlier for earlier, later in pairwise(changes))
    found = conjugate_gradient(
        lambda x: gains * x, b.reshape(1, 1, 4), tolerance=0.0, min_change=share * changes[iteration - 1]
    )
    assert found.n_iterations == iteration + n_more
    np.testing.assert_allclose(found.x.ravel(), ends[iteration + n_more])


def test_cg_stops_at_the_tolerance_and_at_the_limit():
    b = random(1, 3, 4)
    loose = conjugate_gradient(times, b, np.zeros_like(b), tolerance=0.1, max_iterations=50)
    assert np.linalg.norm(b - times(loose.x)) <= 0.1001 * np.linalg.norm(b)
    assert conjugate_gradient(times, b, np.zeros_like(b), tolerance=0.0, max_iterations=3).n_iterations == 3


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
def test_fista_finds_the_closed_form_of_the_lasso_with_a_diagonal_matrix(kind):
    gains, data = np.linspace(0.3, 1, 50), random(50)
    expected = soft_threshold(gains * data, 0.4) / gains**2  # argmin |g x - y|^2 / 2 + 0.4 |x|
    found = fista(
        lambda x: kind(gains) * (kind(gains) * x - kind(data)),
        lambda x, step: soft_threshold(x, 0.4 * step),
        kind(np.zeros(50, complex)),
        step=1.0,
        n_iterations=300,
    )
    np.testing.assert_allclose(np.asarray(found), expected, atol=1e-4)


@pytest.mark.parametrize("n_iterations", [1, 10, 100])
def test_fista_converges_as_fast_as_it_is_proved_to(n_iterations):
    """f(x_k) - min f <= 2 |x_0 - x*|^2 / (step (k + 1)^2), Theorem 4.4; plain gradients take longer for faint directions."""
    gain, optimum = 1 / (2 * n_iterations + 1), random(1, 3, 4)
    found = fista(lambda x: gain * (x - optimum), lambda x, _step: x, 0 * optimum, step=1.0, n_iterations=n_iterations)
    excess = gain * np.sum(np.abs(found - optimum) ** 2) / 2
    assert excess <= 2 * np.sum(np.abs(optimum) ** 2) / (n_iterations + 1) ** 2


def test_cg_solves_an_element_the_same_alone_and_in_a_batch():
    b = random(3, 1, 3, 4) * np.array([1, 1e3, 1e-3])[:, None, None, None]
    start = np.zeros_like(b)
    start[1] = np.linalg.solve(MATRIX, b[1].reshape(12)).reshape(1, 3, 4)  # one element is done before the others begin
    together = conjugate_gradient(times, b, start, tolerance=1e-3, max_iterations=50)
    for i in range(3):
        alone = conjugate_gradient(times, b[i : i + 1], start[i : i + 1], tolerance=1e-3, max_iterations=50)
        np.testing.assert_allclose(together.x[i : i + 1], alone.x, rtol=1e-12)
        assert together.iterations[i] == alone.n_iterations
    assert together.iterations[1] == 0


def test_cg_on_a_gpu_finds_the_same_without_asking(monkeypatch):
    b = random(2, 1, 3, 4)
    expected = conjugate_gradient(times, b, np.zeros_like(b), tolerance=1e-3, max_iterations=50)
    monkeypatch.setattr(solvers, "on_host", lambda _: False)
    found = conjugate_gradient(times, b, np.zeros_like(b), tolerance=1e-3, max_iterations=50)
    np.testing.assert_array_equal(found.x, expected.x)
    np.testing.assert_array_equal(found.iterations, expected.iterations)


@pytest.mark.parametrize("to", [np.asarray, torch.from_numpy])
def test_cg_sums_rows_in_double_precision(to):
    """2^24 + 4096 ones: in single precision ones that are added to the large one are lost."""
    data, residual = np.zeros((1, 4097, 1), np.complex64), np.ones((1, 4097, 1), np.complex64)
    data[0, 0], residual[0, 0] = 1, 4096
    found = conjugate_gradient(lambda x: x, to(data), to(data - residual), tolerance=0, max_iterations=0)
    assert float(found.relative_residuals.ravel()[0]) == np.sqrt(np.float32(2**24 + 4096))
