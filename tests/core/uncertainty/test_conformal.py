import numpy as np
import pytest

from nilatron.core.uncertainty.conformal import (
    TooFewSubjectsError,
    conformal_bound,
    covering_factor,
    subjects_needed,
)


@pytest.mark.parametrize(("confidence", "needed"), [(0.5, 1), (0.8, 4), (0.9, 9), (0.95, 19), (0.99, 99)])
def test_the_largest_of_k_scores_is_a_bound_of_k_by_k_plus_1(confidence, needed):
    assert subjects_needed(confidence) == needed
    assert conformal_bound(list(range(needed)), confidence) == needed - 1
    if needed > 1:
        with pytest.raises(TooFewSubjectsError, match=f"at least {needed} subjects, there are {needed - 1}"):
            conformal_bound(list(range(needed - 1)), confidence)


@pytest.mark.parametrize(("n_subjects", "confidence"), [(9, 0.9), (10, 0.9), (25, 0.9), (11, 0.5)])
def test_exchangeable_subjects_keep_the_promise_and_not_much_more(n_subjects, confidence):
    """P(new score <= bound) is ceil((K + 1) c) / (K + 1) for continuous scores of any distribution."""
    rng = np.random.default_rng(0)
    n_draws = 4000
    scores = rng.lognormal(sigma=1.5, size=(n_draws, n_subjects + 1))
    kept = np.mean([row[-1] <= conformal_bound(row[:-1], confidence) for row in scores])
    expected = np.ceil((n_subjects + 1) * confidence) / (n_subjects + 1)
    assert abs(kept - expected) < 4 * np.sqrt(expected * (1 - expected) / n_draws)
    assert expected >= confidence


def test_the_factor_covers_the_share_and_a_smaller_one_does_not():
    rng = np.random.default_rng(1)
    deviations = rng.uniform(0.1, 2, 5000)
    errors = deviations * rng.standard_normal(5000)
    kappa = covering_factor(errors, deviations, 0.9)
    assert kappa == pytest.approx(1.645, abs=0.06)  # of a normal distribution
    assert np.mean(np.abs(errors) <= kappa * deviations) >= 0.9
    assert np.mean(np.abs(errors) <= 0.999 * kappa * deviations) < 0.9


def test_the_factor_undoes_a_wrong_scale_of_the_deviations():
    errors, deviations = np.random.default_rng(2).standard_normal(1000), np.ones(1000)
    wide, narrow = (covering_factor(errors, scale * deviations, 0.8) * scale for scale in (0.1, 10.0))
    assert wide == pytest.approx(narrow)


@pytest.mark.parametrize("level", [0.0, 1.0, -0.1, 1.5])
def test_levels_outside_0_to_1_are_refused(level):
    with pytest.raises(ValueError, match="between 0 and 1"):
        covering_factor(np.ones(3), np.ones(3), level)
    with pytest.raises(ValueError, match="between 0 and 1"):
        conformal_bound([1.0] * 100, level)


def test_no_pixels_have_no_factor():
    with pytest.raises(ValueError, match="the same pixels"):
        covering_factor(np.ones(0), np.ones(0), 0.9)
