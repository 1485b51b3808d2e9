import numpy as np
import pytest

from nilatron.core.sampling.nila import NilaSettings, dc_weight, nila


def run(problem, n_steps, seed=0, adaptive=True):
    return nila(
        problem.prior.estimate,
        problem.operator,
        problem.data,
        sigma=problem.sigma,
        scale=1.0,
        generator=np.random.default_rng(seed),
        settings=NilaSettings(n_steps=n_steps, adaptive=adaptive),
    )


def test_the_weight_jumps_to_a_fifth_and_falls_to_zero():
    assert dc_weight(500, ratio=0.5, sigma=0.1, first_below=28) == 1.0
    assert dc_weight(28, ratio=0.09, sigma=0.1, first_below=28) == pytest.approx(0.2)
    assert dc_weight(14, ratio=0.05, sigma=0.1, first_below=28) == pytest.approx(0.1)
    assert dc_weight(0, ratio=0.0, sigma=0.1, first_below=28) == 0.0


@pytest.mark.slow
@pytest.mark.parametrize(("sigma", "n_steps"), [(0.05, 100), (0.1, 50)])
def test_as_published_it_loses_more_than_half_of_the_posterior_variance(make_problem, sigma, n_steps):
    """The documented fault of renoising the mean (Eq. 11): variance ratio about 0.4, coverage far below 0.9."""
    problem = make_problem(sigma)
    samples = np.stack([run(problem, n_steps, seed) for seed in range(8)])
    variance = samples.var(axis=0, ddof=1)
    mean = samples.mean(axis=0)
    assert 0.25 < variance.sum() / problem.variance.sum() < 0.6
    covered = np.abs(problem.truth - mean) ** 2 <= 2.303 * variance * (1 + 1 / len(samples))
    assert covered.mean() < 0.78
    assert np.linalg.norm(mean - problem.mean) < 0.15 * np.linalg.norm(problem.mean)


def test_adapting_to_the_noise_is_better_than_not(make_problem):
    problem = make_problem(0.2)
    adaptive, plain = (np.linalg.norm(run(problem, 50, adaptive=a) - problem.truth) for a in (True, False))
    assert adaptive < 0.9 * plain


@pytest.mark.parametrize("sigma", [0.0, 0.001, 0.007])
def test_low_noise_does_not_crash(make_problem, sigma):
    problem = make_problem(max(sigma, 1e-4))
    problem.sigma = sigma
    assert np.isfinite(run(problem, 50)).all()


def test_steps_that_do_not_divide_the_schedule_are_refused(make_problem):
    with pytest.raises(ValueError, match="must divide 1000, got 7"):
        run(make_problem(0.1), 7)
