import json

import numpy as np
import pytest

from nilatron.core.uncertainty.familiarity import Familiarity, conditions, fitted

RNG = np.random.default_rng(0)
MIX = RNG.standard_normal((5, 5))


def drawn(n, rng, shift=0.0):
    """Statistics that follow the scan's conditions, with correlated deviations; the conditions' arguments beside them."""
    scans = [(np.exp(rng.uniform(-5, -2)), rng.uniform(1, 6)) for _ in range(n)]
    means = np.stack([np.outer(np.arange(5), conditions(*scan)).sum(axis=1) for scan in scans])
    return means + rng.standard_normal((n, 5)) @ MIX.T + shift, scans


@pytest.fixture
def known():
    statistics, scans = drawn(2000, np.random.default_rng(1))
    weights, whitening = fitted(statistics, np.stack([conditions(*scan) for scan in scans]))
    return Familiarity(weights, whitening, threshold=2.5, false_alarms=0.02)


def test_familiar_images_score_1_whatever_the_scan(known):
    statistics, scans = drawn(1000, np.random.default_rng(2))
    scores = np.array([known.score(row, *scan) for row, scan in zip(statistics, scans, strict=True)])
    noisy = np.array([noise for noise, _ in scans]) > np.exp(-3.5)
    assert scores.mean() == pytest.approx(1, abs=0.1)
    assert scores[noisy].mean() == pytest.approx(scores[~noisy].mean(), abs=0.15)


def test_other_images_score_higher(known):
    statistics, scans = drawn(200, np.random.default_rng(3), shift=10 * MIX[:, 0])
    assert min(known.score(row, *scan) for row, scan in zip(statistics, scans, strict=True)) > known.threshold


def test_it_comes_back_from_text(known):
    again = Familiarity.parsed(known.json())
    statistics, scans = drawn(20, np.random.default_rng(4))
    for row, scan in zip(statistics, scans, strict=True):
        assert again.score(row, *scan) == pytest.approx(known.score(row, *scan), rel=1e-2)
    assert (again.threshold, again.false_alarms) == (2.5, 0.02)


@pytest.mark.parametrize("change", [{"threshold": 0}, {"whitening": [[1]]}, {"mean": [[1, 2]]}, {"false_alarms": 2}])
def test_other_texts_are_refused(known, change):
    with pytest.raises(ValueError):  # noqa: PT011 - NumPy's own errors are some, too
        Familiarity.parsed(json.dumps({**json.loads(known.json()), **change}))


def test_other_numbers_of_statistics_are_refused(known):
    with pytest.raises(ValueError, match="expected 5 statistics"):
        known.score(np.zeros(4), 0.05, 2.0)
