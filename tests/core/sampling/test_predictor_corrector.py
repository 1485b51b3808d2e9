import numpy as np
import pytest

from nilatron.core.prior.prior import Estimate
from nilatron.core.sampling.predictor_corrector import PredictorCorrectorSettings, predictor_corrector
from nilatron.core.sense import SenseOperator

N_SAMPLES = 48


def draw(problem, settings=None, n_samples=N_SAMPLES, scale=1.0, callback=None):
    return predictor_corrector(
        problem.prior.estimate,
        problem.operator,
        scale * problem.data,
        n_samples=n_samples,
        sigma=scale * problem.sigma,
        scale=scale,
        generator=np.random.default_rng(1),
        settings=settings,
        callback=callback,
    )


def in_standard_errors(problem, samples):
    """Distance of the samples' mean from the closed form, by what independent exact samples would have (rms)."""
    expected = problem.variance.sum() / len(samples)
    return np.sqrt(np.sum(np.abs(samples.mean(axis=0) - problem.mean) ** 2) / expected)


@pytest.mark.parametrize("sigma", [0.03, 0.1])
def test_samples_of_a_gaussian_have_about_its_posterior_mean_and_its_variance(make_gaussian_problem, sigma):
    problem = make_gaussian_problem(sigma)
    samples = draw(problem)
    assert in_standard_errors(problem, samples) < 2
    assert 0.85 < samples.var(axis=0, ddof=1).sum() / problem.variance.sum() < 1.1


@pytest.mark.slow
def test_more_levels_bring_the_mean_to_the_closed_form(make_gaussian_problem):
    problem = make_gaussian_problem(0.1)
    coarse, fine = (
        in_standard_errors(problem, draw(problem, PredictorCorrectorSettings(levels=n))) for n in (100, 400)
    )
    assert fine < 1.3 < coarse


def test_the_corrector_comes_first_and_the_last_step_adds_no_noise():
    """Of a scan without samples the image is what the denoiser says last."""
    levels, shape, said = [], (1, 2, 3), np.array([[[[1, 2j, 0], [3, 1, -1j]]]])

    def estimate(_x, level):
        levels.append(level)
        return Estimate(said)

    found = predictor_corrector(
        estimate,
        SenseOperator(np.ones((1, *shape), complex), np.zeros(shape)),
        np.zeros((1, *shape), complex),
        n_samples=1,
        sigma=1.0,
        scale=3.0,
        generator=np.random.default_rng(0),
        settings=PredictorCorrectorSettings(levels=3, sigma_max=0.4, sigma_min=0.1),
    )
    assert levels == pytest.approx([0.4, 0.4, 0.2, 0.2, 0.1, 0.1])
    np.testing.assert_allclose(found, 3 * said, atol=1e-12)


def test_the_image_scale_is_a_unit(make_gaussian_problem):
    problem, settings = make_gaussian_problem(0.1), PredictorCorrectorSettings(levels=5)
    np.testing.assert_allclose(
        draw(problem, settings, 2, scale=8.0), 8 * draw(problem, settings, 2), rtol=1e-4, atol=1e-4
    )


def test_a_callback_ends_the_run(make_gaussian_problem):
    def callback(*_):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        draw(make_gaussian_problem(0.1), callback=callback)


@pytest.mark.parametrize(
    "changes", [{"levels": 0}, {"sigma_min": 0.0}, {"target_snr": 0.0}, {"target_snr": 1.0}, {"iterations": 0}]
)
def test_settings_outside_their_range(changes):
    with pytest.raises(ValueError, match=r".+"):
        PredictorCorrectorSettings(**changes)
