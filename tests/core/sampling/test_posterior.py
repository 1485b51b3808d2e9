import numpy as np
import pytest
from scipy import stats

from nilatron.core.prior.prior import Estimate
from nilatron.core.sampling.nila_fast import nila_fast
from nilatron.core.sampling.posterior import Posterior, most_probable, sample_posterior, widened
from nilatron.core.sampling.sample_settings import SampleSettings
from nilatron.core.sampling.schedule import karras_schedule
from nilatron.core.sense import SenseOperator

SPLIT_AT_FIRST = SampleSettings(split_sigma=0.5, sample_steps=16)
APART = SPLIT_AT_FIRST.chains().levels
LATE = SampleSettings(split_sigma=0.2, sample_steps=5).chains().levels


def draw(problem, n_samples, levels, *, balanced=False, start=None, seed=2):
    return sample_posterior(
        problem.prior.estimate,
        problem.operator,
        problem.data,
        levels,
        n_samples=n_samples,
        start=problem.operator.adjoint(problem.data) if start is None else start,
        sigma=problem.sigma,
        scale=1.0,
        generator=np.random.default_rng(seed),
        balanced=balanced,
    )


def one_step(problem, start, **changes):
    return sample_posterior(
        problem.prior.estimate,
        problem.operator,
        problem.data,
        (0.1,),
        n_samples=4,
        start=start,
        sigma=problem.sigma,
        scale=1.0,
        generator=np.random.default_rng(0),
        **changes,
    )


def distance(problem, image):
    """From the posterior mean, relative."""
    return np.linalg.norm(image - problem.mean) / np.linalg.norm(problem.mean)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sigma", "bound", "ratio"),
    [(0.01, 0.05, (0.8, 1.2)), (0.05, 0.09, (0.9, 1.35)), (0.1, 0.14, (0.95, 1.5)), (0.2, 0.2, (0.95, 1.6))],
)
def test_samples_have_the_mean_variance_and_coverage_of_the_posterior(make_problem, sigma, bound, ratio):
    distances, ratios, coverages = [], [], []
    for seed in range(3):
        problem = make_problem(sigma, seed)
        posterior = draw(problem, 24, APART)
        variance = posterior.standard_deviation**2
        distances.append(distance(problem, posterior.mean))
        ratios.append(variance.sum() / problem.variance.sum())
        inside = np.abs(problem.truth - posterior.mean) ** 2 <= 2.303 * variance * (1 + 1 / 24)
        coverages.append(inside.mean())
    assert np.mean(distances) < bound
    assert ratio[0] < np.mean(ratios) < ratio[1]
    assert 0.83 < np.mean(coverages) < 0.97


def test_centred_samples_are_moved_together_towards_their_start(make_problem):
    problem = make_problem(0.1)
    start = 1.1 * problem.mean
    plain, half, whole = (
        sample_posterior(
            problem.prior.estimate,
            problem.operator,
            problem.data,
            LATE,
            n_samples=3,
            start=start,
            sigma=problem.sigma,
            scale=1.0,
            generator=np.random.default_rng(0),
            centred=centred,
        )
        for centred in (0.0, 0.5, 1.0)
    )
    np.testing.assert_allclose(whole.mean, start, atol=1e-6)
    np.testing.assert_allclose(half.mean, (plain.mean + start) / 2, atol=1e-6)
    np.testing.assert_allclose(half.standard_deviation, plain.standard_deviation, atol=1e-6)


@pytest.mark.parametrize("centred", [0.0, 0.5])
def test_widened_samples_keep_their_mean_and_deviate_alike_but_for_one_factor(make_problem, centred):
    problem = make_problem(0.1)
    start = 1.1 * problem.mean
    plain, wide, wider = (one_step(problem, start, widening=by, centred=centred) for by in (0.0, 5.0, 10.0))
    np.testing.assert_allclose(wide.mean, plain.mean, atol=1e-6)
    np.testing.assert_allclose(wider.samples - wide.mean, 2 * (wide.samples - wide.mean), atol=1e-5)
    factor = np.linalg.norm(wide.samples - wide.mean) / np.linalg.norm(plain.samples - plain.mean)
    assert factor > 1.5
    np.testing.assert_allclose(wide.samples - wide.mean, factor * (plain.samples - plain.mean), atol=1e-5)


@pytest.mark.parametrize("scale", [1.0, 1e-5, 300.0])
@pytest.mark.parametrize(("rms", "factor"), [(0.01, 2.774), (0.02, 3.253)])
def test_the_factor_follows_the_deviations_on_the_object_in_any_unit(scale, rms, factor):
    image = np.concatenate([np.ones((1, 4, 5)), np.zeros((1, 4, 5))], axis=1).astype(complex)
    away = np.concatenate([np.full((1, 4, 5), rms), np.full((1, 4, 5), 100.0)], axis=1)
    found = widened(Posterior(scale * np.stack([image + away, image - away]), balanced=True), scale * image, scale, 8.0)
    np.testing.assert_allclose(
        found.samples, scale * np.stack([image + factor * away, image - factor * away]), rtol=1e-3
    )


def test_without_an_object_no_deviation_is_believed():
    posterior = Posterior(1e-3 * np.stack([np.ones((1, 4, 5)), -np.ones((1, 4, 5))]).astype(complex), balanced=True)
    assert not widened(posterior, np.zeros((1, 4, 5), complex), 1.0, 8.0).samples.any()


@pytest.mark.parametrize("prior_by_noise", [0.1, 1.0, 10.0])
def test_after_one_step_samples_of_a_gaussian_have_the_variance_of_its_closed_form(prior_by_noise):
    """(level c s^2 / ((c + level^2) (s^2 + level^2)))^2 for independent pixels of variance c, all measured with noise s^2.

    At the level of the posterior's deviation that is a quarter to a fifth of its variance c s^2 / (c + s^2).
    """
    shape, noise = (1, 24, 24), 0.1
    prior = prior_by_noise * noise**2
    exact = prior * noise**2 / (prior + noise**2)
    level = np.sqrt(exact)
    rng = np.random.default_rng(0)
    measured = rng.standard_normal((1, *shape)) + 0j
    posterior = sample_posterior(
        lambda x, sigma: Estimate(x * (prior / (prior + sigma**2))),
        SenseOperator(np.ones((1, *shape), complex), np.ones(shape)),
        measured,
        (level,),
        n_samples=16,
        start=np.zeros(shape, complex),
        sigma=noise,
        scale=1.0,
        generator=rng,
    )
    found = np.mean(posterior.standard_deviation**2)
    known = (level * prior * noise**2 / ((prior + level**2) * (noise**2 + level**2))) ** 2
    assert found == pytest.approx(known, rel=0.03)
    assert 0.19 < found / exact < 0.26


@pytest.mark.slow
def test_more_steps_bring_the_variance_nearer_to_the_truth(make_problem):
    problem = make_problem(0.1)
    variances = [(draw(problem, 24, karras_schedule(n)).standard_deviation ** 2).sum() for n in (8, 48)]
    excess = [abs(variance / problem.variance.sum() - 1) for variance in variances]
    assert excess[1] < excess[0]


def test_with_the_split_at_the_first_level_samples_are_independent_runs(make_problem):
    """Nothing is shared: the same numbers as runs of the sampler from the conventional image."""
    problem = make_problem(0.1)
    assert not SPLIT_AT_FIRST.chains().shared
    assert karras_schedule(16) == APART
    start = problem.operator.adjoint(problem.data)
    runs = nila_fast(
        problem.prior.estimate,
        problem.operator,
        problem.data,
        karras_schedule(16),
        start=np.stack([start] * 3),
        sigma=problem.sigma,
        scale=1.0,
        tau=1.0,
        generator=np.random.default_rng(2),
    )
    np.testing.assert_array_equal(draw(problem, 3, APART).samples, runs.image)


def test_each_balanced_sample_is_distributed_as_an_independent_one(make_gaussian_problem):
    problem = make_gaussian_problem(0.1)
    whitened = {}
    for balanced in (True, False):
        rounds = [draw(problem, 8, karras_schedule(6), balanced=balanced, seed=seed).samples for seed in range(12)]
        whitened[balanced] = np.real((np.concatenate(rounds) - problem.mean) / np.sqrt(problem.variance / 2))
    for pixel in ((0, 6, 6), (0, 3, 8), (0, 8, 4)):
        index = (slice(None), *pixel)
        assert stats.ks_2samp(whitened[True][index], whitened[False][index]).pvalue > 0.01


def test_the_mean_of_balanced_samples_of_a_gaussian_is_that_without_noise(make_gaussian_problem):
    """And their variance is, on average, that of independent samples."""
    problem = make_gaussian_problem(0.1)
    balanced, independent = (
        [draw(problem, 4, karras_schedule(8), balanced=kind, seed=seed) for seed in range(16)] for kind in (True, False)
    )
    assert np.ptp([one.mean for one in balanced], axis=0).max() < 2e-3 < np.ptp([one.mean for one in independent])
    variances = [np.mean([one.standard_deviation**2 for one in kind]) for kind in (balanced, independent)]
    assert variances[0] == pytest.approx(variances[1], rel=0.05)


def test_samples_that_part_late_from_a_good_image_have_a_better_mean_and_about_the_variance(make_gaussian_problem):
    """With 5 evaluations each, against 16 of samples that share nothing; exact samples stray by sqrt(variance / 8)."""
    problem = make_gaussian_problem(0.05)
    late = draw(problem, 8, LATE, start=problem.mean, balanced=True)
    exact = np.sqrt(problem.variance.sum() / 8) / np.linalg.norm(problem.mean)
    assert distance(problem, late.mean) < 0.8 * exact < exact < distance(problem, draw(problem, 8, APART).mean)
    assert 0.8 < (late.standard_deviation**2).sum() / problem.variance.sum() < 1.25


def test_the_same_seed_gives_the_same_samples_to_the_bit(make_problem):
    problem = make_problem(0.1)
    first, again, other = (draw(problem, 2, LATE, balanced=True, seed=seed).samples for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0


@pytest.mark.parametrize(("balanced", "n_counted"), [(True, 2), (False, 1)])
def test_samples_that_the_denoiser_alone_decides(balanced, n_counted):
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
        balanced=balanced,
    )
    np.testing.assert_allclose(posterior.samples, scale * said)
    np.testing.assert_allclose(posterior.mean, scale * (said[0] + said[1]) / 2)
    half = np.abs(said[0] - said[1]) / 2
    np.testing.assert_allclose(posterior.standard_deviation, scale * half * np.sqrt(2 / n_counted))


def test_a_turn_of_the_phase_is_no_spread_of_the_magnitude():
    posterior = Posterior(np.array([2.0, 2.0j, -2.0])[:, None, None, None] * np.ones((1, 1, 4, 5)))
    np.testing.assert_allclose(posterior.magnitude_deviation, 0, atol=1e-12)
    assert posterior.standard_deviation.min() > 1
    lengths = Posterior(np.array([1.0, 3.0j])[:, None, None, None] * np.ones((1, 1, 4, 5)))
    np.testing.assert_allclose(lengths.magnitude_deviation, np.sqrt(2))


def test_the_noise_free_end_of_a_chain_approaches_the_mode_of_a_gaussian(make_gaussian_problem):
    """Which is its mean: twice as many steps come twice as near. The sample is far from it."""
    problem = make_gaussian_problem(0.1)
    sample = draw(problem, 2, APART).samples[0]
    near, nearer = (distance(problem, end_of(problem, sample, n)) for n in (16, 32))
    assert distance(problem, sample) > 0.3
    assert near < 0.06
    assert nearer == pytest.approx(near / 2, rel=0.1)


def test_the_ends_of_two_chains_meet(make_problem):
    problem = make_problem(0.1)
    samples = draw(problem, 2, APART).samples
    ends = [end_of(problem, sample) for sample in samples]
    assert np.linalg.norm(ends[0] - ends[1]) < 0.05 * np.linalg.norm(samples[0] - samples[1])


def end_of(problem, sample, n_steps=16):
    return most_probable(
        problem.prior.estimate,
        problem.operator,
        problem.data,
        SampleSettings(map_steps=n_steps).map_levels,
        sample=sample,
        sigma=problem.sigma,
        scale=1.0,
        generator=np.random.default_rng(0),
    )


def test_one_sample_has_no_variance(make_problem):
    with pytest.raises(ValueError, match="at least 2 posterior samples, got 1"):
        draw(make_problem(0.1), 1, karras_schedule(2))
