import ismrmrd
import numpy as np
import pytest

from nilatron.gadgets.items import Context, ScanError
from nilatron.gadgets.known_noise import NoiseOrigin
from nilatron.gadgets.noise.scan import NoiseScan

NOISE = ismrmrd.ACQ_IS_NOISE_MEASUREMENT


@pytest.fixture
def context(scan_header):
    return Context(scan_header((64, 64, 1), bandwidth=0.6))


@pytest.fixture
def scanned(make_line, context):
    """A scan of noise lines, given as (samples, dwell time)."""

    def scan(*lines):
        found = NoiseScan()
        for samples, dwell_us in lines:
            found.add(make_line(samples, NOISE, dwell_us=dwell_us), context.header)
        return found

    return scan


def samples(n_coils, n_samples, seed=0):
    parts = np.random.default_rng(seed).standard_normal((2, n_coils, n_samples))
    return (parts[0] + 1j * parts[1]).astype(np.complex64)


def test_covariance_of_lines_of_one_dwell_time_is_that_of_their_samples(scanned, context):
    first, second = samples(3, 40), samples(3, 20, seed=1)
    found = scanned((first, 5.0), (second, 5.0)).matched(None, 3, context)
    every = np.concatenate([first, second], axis=1)
    np.testing.assert_allclose(found.covariance, every @ every.conj().T / 59, rtol=1e-5)
    assert (found.n_samples, found.dwell_us) == (60, 5.0)
    assert found.origin == NoiseOrigin("noise scan", "", 0.6)


def test_lines_are_brought_to_one_dwell_time(scanned, context):
    """Variance goes with 1 / dwell: the same noise, sampled four times as long, has half the amplitude."""
    line = samples(3, 40)
    expected = scanned((line, 5.0), (line, 5.0)).matched(None, 3, context).covariance
    for lines in ([(line, 5.0), (line / 2, 20.0)], [(line, 5.0), (line, 0.0)], [(line, 0.0), (line, 5.0)]):
        found = scanned(*lines).matched(None, 3, context)
        np.testing.assert_allclose(found.covariance, expected, rtol=1e-5)
        assert found.dwell_us == 5.0
    found = scanned((line / 2, 20.0), (line, 5.0)).matched(None, 3, context)
    np.testing.assert_allclose(found.covariance, expected / 4, rtol=1e-5)
    assert found.dwell_us == 20.0


def test_lines_of_unlike_channels_are_not_mixed(scanned, context):
    wide, narrow = samples(4, 30), samples(2, 50)
    scan = scanned((narrow, 5.0), (wide, 5.0), (narrow, 5.0))
    found = scan.matched(None, 4, context)
    np.testing.assert_allclose(found.covariance, wide @ wide.conj().T / 29, rtol=1e-5)
    (unfit,) = scan.left_out()
    assert (unfit.n_lines, len(unfit.total)) == (2, 2)
    assert scan.matched(None, 2, context).n_samples == 100
    assert scan.left_out() == []
    with pytest.raises(ScanError, match="the noise scan has 2 channels and the image lines 3"):
        scan.matched(None, 3, context)


def test_without_noise_lines_nothing_is_known(context):
    assert NoiseScan().matched(None, 3, context) is None
    assert NoiseScan().largest(context) is None


def test_a_measurement_of_noise_is_that_of_most_lines(scanned, context):
    scan = scanned((samples(4, 30), 5.0), (samples(2, 5), 5.0), (samples(2, 5), 5.0))
    assert scan.largest(context).n_coils == 2


@pytest.mark.parametrize("gains", [(1.0, 1.0), (1.0, 50.0)])
def test_gaussian_noise_of_any_gain_and_dwell_time_has_a_kurtosis_of_two(make_line, context, gains):
    rng, scan = np.random.default_rng(0), NoiseScan()
    for number in range(32):
        white = rng.standard_normal((2, 256)) + 1j * rng.standard_normal((2, 256))
        dwell_us = 5.0 if number % 2 else 20.0
        line = make_line(np.array(gains)[:, None] * white / np.sqrt(dwell_us), dwell_us=dwell_us)
        scan.add(line, context.header)
    assert scan.largest(context).kurtosis == pytest.approx(2, abs=0.1)


def test_a_spike_in_one_channel_shows_in_the_kurtosis(make_line, context):
    rng, scan = np.random.default_rng(0), NoiseScan()
    data = rng.standard_normal((2, 512)) + 1j * rng.standard_normal((2, 512))
    data[1, 40] = 60
    scan.add(make_line(data), context.header)
    assert scan.largest(context).kurtosis > 100


@pytest.mark.parametrize("discard", [(7, 0), (0, 5), (3, 2), (0, 0)])
def test_samples_to_discard_are_no_noise(make_line, context, discard):
    line = samples(3, 40)
    first, last = discard[0], 40 + discard[0]
    padded = np.pad(line, ((0, 0), discard), constant_values=100)
    found = NoiseScan()
    found.add(make_line(padded, NOISE, discard=discard), context.header)
    expected = padded[:, first:last] @ padded[:, first:last].conj().T / 39
    np.testing.assert_allclose(found.matched(None, 3, context).covariance, expected, rtol=1e-5)
