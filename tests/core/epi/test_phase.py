import numpy as np
import pytest

from nilatron.core.epi.phase import evolution_phase, fitted_phase, polarity_phase

N = 48
X = np.arange(N) - N // 2


@pytest.fixture
def object_profile():
    rng = np.random.default_rng(0)
    shape = np.exp(-((X / 12) ** 2))
    return shape * (rng.standard_normal((3, N)) + 1j * rng.standard_normal((3, N)))


def navigators(profile, phase, evolution=0.0, n=3, first_backwards=False):
    """Profiles in time: every second one with `phase`, each with `evolution` more than the one before."""
    backwards = [bool(i % 2) != first_backwards for i in range(n)]
    profiles = [profile * np.exp(1j * (evolution * i + phase * back)) for i, back in enumerate(backwards)]
    return profiles, backwards


@pytest.mark.parametrize("first_backwards", [False, True])
@pytest.mark.parametrize("n", [2, 3, 4, 6])
@pytest.mark.parametrize(("slope", "constant"), [(0.0, 0.4), (0.05, -1.0), (-0.3, 3.0), (0.9, 0.0)])
def test_a_delay_and_a_phase_are_found_in_spite_of_wraps(object_profile, slope, constant, n, first_backwards):
    phase = slope * X + constant
    found = polarity_phase(*navigators(object_profile, phase, n=n, first_backwards=first_backwards))
    np.testing.assert_allclose(np.exp(1j * found), np.exp(1j * phase), atol=1e-6)


def test_the_phase_that_the_object_gains_from_line_to_line_drops_out_of_three_navigators(object_profile):
    profiles, backwards = navigators(object_profile, 0.1 * X + 0.5, evolution=0.4)
    np.testing.assert_allclose(polarity_phase(profiles, backwards), 0.1 * X + 0.5, atol=1e-6)
    pair = polarity_phase(profiles[:2], backwards[:2])
    np.testing.assert_allclose(pair, 0.1 * X + 0.9, atol=1e-6)
    np.testing.assert_allclose(evolution_phase(profiles), 0.4, atol=1e-6)


def test_navigators_of_one_direction_tell_nothing(object_profile):
    assert polarity_phase([object_profile] * 3, [True] * 3) is None
    assert polarity_phase([object_profile], [False]) is None
    assert polarity_phase([], []) is None


def test_orders_of_the_fit(object_profile):
    bent = 0.1 * X + 0.3 + 0.8 * (X / N) ** 2
    weights = np.sum(np.abs(object_profile) ** 2, axis=0)
    product = weights * np.exp(1j * bent)
    assert not fitted_phase(product, "none").any()
    assert np.ptp(fitted_phase(product, "mean")) == 0
    line, curve = fitted_phase(product, "linear"), fitted_phase(product, "polynomial")
    np.testing.assert_allclose(np.diff(line), line[1] - line[0])
    inside = weights > 0.01 * weights.max()
    assert np.abs(curve - bent)[inside].max() < 1e-6 < np.abs(line - bent)[inside].max()


def test_noise_outside_the_object_hardly_matters(object_profile):
    rng = np.random.default_rng(1)
    profiles, backwards = navigators(object_profile, 0.2 * X - 0.4)
    noisy = [one + 0.02 * (rng.standard_normal(one.shape) + 1j * rng.standard_normal(one.shape)) for one in profiles]
    np.testing.assert_allclose(polarity_phase(noisy, backwards)[8:-8], (0.2 * X - 0.4)[8:-8], atol=0.05)
