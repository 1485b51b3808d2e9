import numpy as np
import pytest

from nilatron.core.sampling.pula import PulaSettings, pula

N_SAMPLES = 48


def draw(problem, settings=None, n_samples=N_SAMPLES, seed=1):
    return pula(
        problem.prior.estimate,
        problem.operator,
        problem.data,
        n_samples=n_samples,
        sigma=problem.sigma,
        scale=1.0,
        generator=np.random.default_rng(seed),
        settings=settings,
    )


def in_standard_errors(problem, samples):
    """Distance of the samples' mean from the closed form, by what independent exact samples would have (rms)."""
    expected = problem.variance.sum() / len(samples)
    return np.sqrt(np.sum(np.abs(samples.mean(axis=0) - problem.mean) ** 2) / expected)


def variance_ratio(problem, samples):
    return samples.var(axis=0, ddof=1).sum() / problem.variance.sum()


@pytest.mark.parametrize("sigma", [0.03, 0.1])
def test_samples_of_a_gaussian_have_its_posterior_mean_and_variance(make_gaussian_problem, sigma):
    """Up to the length of the steps, which leaves too large a variance: at most 1 / (1 - gamma / 2) = 4/3."""
    problem = make_gaussian_problem(sigma)
    samples = draw(problem)
    assert in_standard_errors(problem, samples) < 1.3
    assert 0.95 < variance_ratio(problem, samples) < 4 / 3


def test_more_and_shorter_steps_bring_the_variance_nearer_to_the_closed_form(make_gaussian_problem):
    problem = make_gaussian_problem(0.2)
    settings = PulaSettings(levels=50), PulaSettings(levels=50, gamma=0.25, steps=4)
    long, short = (abs(variance_ratio(problem, draw(problem, one, 24)) - 1) for one in settings)
    assert short < long


def test_the_image_scale_is_a_unit(make_gaussian_problem):
    problem, settings = make_gaussian_problem(0.1), PulaSettings(levels=5)
    expected = draw(problem, settings, 2)
    problem.data, problem.sigma = 8 * problem.data, 8 * problem.sigma
    found = pula(
        problem.prior.estimate,
        problem.operator,
        problem.data,
        n_samples=2,
        sigma=problem.sigma,
        scale=8.0,
        generator=np.random.default_rng(1),
        settings=settings,
    )
    np.testing.assert_allclose(found, 8 * expected, rtol=1e-5)


def test_a_callback_sees_every_level_and_ends_the_run(make_gaussian_problem):
    problem, seen = make_gaussian_problem(0.1), []

    def callback(step, level, x):
        seen.append((step, level, x.shape))
        if step == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        pula(
            problem.prior.estimate,
            problem.operator,
            problem.data,
            n_samples=2,
            sigma=0.1,
            scale=1.0,
            generator=np.random.default_rng(0),
            settings=PulaSettings(levels=3, sigma_max=4.0, sigma_min=1.0, steps=2),
            callback=callback,
        )
    assert [level for _, level, _ in seen] == pytest.approx([4.0, 4.0, 2.0, 2.0])
    assert seen[0][2] == (2, 1, 12, 12)


@pytest.mark.parametrize(
    "changes", [{"levels": 0}, {"sigma_min": 0.0}, {"steps": 0}, {"gamma": 0.0}, {"iterations": 0}]
)
def test_settings_outside_their_range(changes):
    with pytest.raises(ValueError, match=r".+"):
        PulaSettings(**changes)
