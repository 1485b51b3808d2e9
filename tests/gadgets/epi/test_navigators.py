import numpy as np
import pytest

from nilatron.core.fft import fft
from nilatron.gadgets.epi.navigators import Navigators, with_phase_removed
from nilatron.gadgets.placement import Readout

N = 16
X = np.arange(N) - N // 2
KEY, OTHER = (0, 0), (0, 1)


def readout(phase=0.0, n_coils=2):
    profile = np.exp(-((X / 5) ** 2)) * np.exp(1j * phase) * np.ones((n_coils, 1))
    return Readout(fft(profile, axes=(-1,)).astype(np.complex64), N // 2, 0, 0, 0)


@pytest.fixture
def navigators():
    found = Navigators()
    for i in range(3):
        assert found.add(KEY, readout(0.2 * X * (i % 2)), backwards=bool(i % 2)) == i + 1
    return found


def test_a_new_shot_forgets_the_one_before(navigators):
    np.testing.assert_allclose(navigators.phase(KEY, 2, N), 0.2 * X, atol=1e-4)
    for i in range(3):
        navigators.add(KEY, readout(0.5 * (i % 2)), backwards=bool(i % 2))
    np.testing.assert_allclose(navigators.phase(KEY, 2, N), 0.5, atol=1e-4)


def test_navigators_of_one_direction_leave_the_phase_as_it_was(navigators):
    np.testing.assert_allclose(navigators.phase(KEY, 2, N), 0.2 * X, atol=1e-4)
    assert navigators.add(KEY, readout(0.7), backwards=False) == 1
    np.testing.assert_allclose(navigators.phase(KEY, 2, N), 0.2 * X, atol=1e-4)


def test_a_slice_without_navigators_takes_those_of_another_and_says_so(navigators):
    np.testing.assert_allclose(navigators.phase(OTHER, 2, N), 0.2 * X, atol=1e-4)
    assert navigators.log.counts["lines corrected by navigators of another slice"] == 1
    assert navigators.phase((1, 0), 2, N) is None


def test_navigators_of_another_shape_or_without_values_tell_nothing(navigators):
    broken = readout()
    broken.samples[0, 3] = np.nan
    assert navigators.add(KEY, broken, backwards=True) == 0
    assert navigators.phase(KEY, 2, N) is not None
    assert navigators.phase(KEY, 3, N) is None
    assert navigators.phase(KEY, 2, N + 2) is None


def test_the_phase_is_removed_from_the_image_of_what_was_measured():
    phase = 0.3 * X - 1
    line = readout(phase)
    np.testing.assert_allclose(with_phase_removed(line, phase).samples, readout().samples, atol=1e-5)
    gap = Readout(line.samples, line.echo, 2, 1, 0)
    cut = line.samples.copy()
    cut[:, :2], cut[:, -1:] = 0, 0
    expected = with_phase_removed(Readout(cut, line.echo, 0, 0, 0), phase)
    np.testing.assert_allclose(with_phase_removed(gap, phase).samples, expected.samples, atol=1e-6)
    assert (with_phase_removed(gap, phase).pre, with_phase_removed(gap, phase).post) == (2, 1)


@pytest.mark.parametrize("n_coils", [1, 3])
def test_a_body_coil_read_out_in_turn_takes_nothing_from_the_array(n_coils):
    found = Navigators()
    for i in range(3):
        found.add(KEY, readout(0.9, n_coils=n_coils), backwards=bool(i % 2))
        found.add(KEY, readout(0.2 * X * (i % 2)), backwards=bool(i % 2))
    np.testing.assert_allclose(found.phase(KEY, 2, N), 0.2 * X, atol=1e-4)
    assert found.add(KEY, readout(n_coils=n_coils), backwards=False) == 1
    np.testing.assert_allclose(found.phase(KEY, 2, N), 0.2 * X, atol=1e-4)
