import numpy as np
import pytest

from nilatron.core.prior.prior import Estimate
from nilatron.core.sampling.posterior import sample_posterior
from nilatron.core.sampling.schedule import karras_schedule
from nilatron.core.sense import SenseOperator


def draw(problem, n_samples, n_steps=16):
    return sample_posterior(
        problem.prior.estimate,
        problem.operator,
        problem.data,
        karras_schedule(n_steps),
        n_samples=n_samples,
        start=problem.operator.adjoint(problem.data),
        sigma=problem.sigma,
        scale=1.0,
        generator=np.random.default_rng(2),
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sigma", "distance", "ratio"),
    [(0.01, 0.05, (0.8, 1.2)), (0.05, 0.09, (0.9, 1.35)), (0.1, 0.14, (0.95, 1.5)), (0.2, 0.2, (0.95, 1.6))],
)
def test_samples_have_the_mean_variance_and_coverage_of_the_posterior(make_problem, sigma, distance, ratio):
    distances, ratios, coverages = [], [], []
    for seed in range(3):
        problem = make_problem(sigma, seed)
        posterior = draw(problem, 24)
        variance = posterior.standard_deviation**2
        distances.append(np.linalg.norm(posterior.mean - problem.mean) / np.linalg.norm(problem.mean))
        ratios.append(variance.sum() / problem.variance.sum())
        inside = np.abs(problem.truth - posterior.mean) ** 2 <= 2.303 * variance * (1 + 1 / 24)
        coverages.append(inside.mean())
    assert np.mean(distances) < distance
    assert ratio[0] < np.mean(ratios) < ratio[1]
    assert 0.83 < np.mean(coverages) < 0.97


@pytest.mark.slow
def test_more_steps_bring_the_variance_nearer_to_the_truth(make_problem):
    problem = make_problem(0.1)
    excess = [(draw(problem, 24, n).standard_deviation ** 2).sum() / problem.variance.sum() - 1 for n in (8, 48)]
    assert abs(excess[1]) < abs(excess[0])


def test_two_samples_have_half_their_squared_difference_as_variance():
    """Of a scan without samples they are what the denoiser says last."""
    shape, scale = (1, 2, 3), 3.0
    said = np.array([[[[1, 2j, 0], [3, 1, -1j]]], [[[1j, 2j, 4], [0, -1, 1j]]]])
    posterior = sample_posterior(
        lambda _x, _level: Estimate(said),
        SenseOperator(np.ones((1, *shape), complex), np.zeros(shape)),
        np.zeros((1, *shape), complex),
        karras_schedule(3),
        n_samples=2,
        start=np.zeros(shape, complex),
        sigma=1.0,
        scale=scale,
        generator=np.random.default_rng(0),
    )
    np.testing.assert_allclose(posterior.mean, scale * (said[0] + said[1]) / 2)
    np.testing.assert_allclose(posterior.standard_deviation, scale * np.abs(said[0] - said[1]) / np.sqrt(2))


def test_one_sample_has_no_variance(make_problem):
    with pytest.raises(ValueError, match="at least 2 posterior samples, got 1"):
        draw(make_problem(0.1), 1)
