import ismrmrd
import numpy as np
import pytest

from nilatron.gadgets.items import Context, ScanError
from nilatron.gadgets.stock.noise_adjust import NoiseAdjustGadget, noise_scale, whitening_matrix

NOISE = ismrmrd.ACQ_IS_NOISE_MEASUREMENT
N_COILS = 4


@pytest.fixture
def rng():
    return np.random.default_rng(1)


def coloured(rng, n_samples, sigma=0.03):
    mixing = np.linalg.cholesky(0.5 * np.eye(N_COILS) + 0.5j * np.triu(np.ones((N_COILS, N_COILS)), 1) + 0.5)
    white = rng.standard_normal((2, N_COILS, n_samples))
    return sigma * mixing @ (white[0] + 1j * white[1])


def test_whitened_noise_has_unit_deviation_in_each_part(rng, scan_header, make_line):
    context = Context(scan_header((64, 64, 1), bandwidth=0.7))
    lines = [make_line(coloured(rng, 4096), NOISE, dwell_us=5.0) for _ in range(8)]
    # a line of shorter dwell time has more noise: variance goes with the bandwidth, of which the noise scan sees 0.7
    lines += [make_line(coloured(rng, 4096) * np.sqrt(1 / (0.7 * 0.5)), dwell_us=2.5) for _ in range(8)]
    whitened = np.concatenate([line.data for line in NoiseAdjustGadget()(lines, context)], axis=1)
    covariance = whitened @ whitened.conj().T / whitened.shape[1]
    np.testing.assert_allclose(covariance, 2 * np.eye(N_COILS), atol=0.1)


def test_known_scales():
    assert noise_scale(5.0, 5.0, 0.793) == pytest.approx(np.sqrt(2 * 0.793))
    assert noise_scale(10.0, 5.0, 1.0) == pytest.approx(2.0)
    assert noise_scale(0.0, 5.0, 0.793) == 1.0
    assert noise_scale(5.0, 0.0, 0.793) == 1.0


def test_the_default_bandwidth_and_the_preset_dwell_time_count(rng, scan_header, make_line):
    noise, line = make_line(coloured(rng, 512), NOISE), make_line(coloured(rng, 512))
    (default,) = NoiseAdjustGadget()([noise, line], Context(scan_header((64, 64, 1))))
    (full,) = NoiseAdjustGadget()([noise, line], Context(scan_header((64, 64, 1), bandwidth=1.0)))
    (preset,) = NoiseAdjustGadget(noise_dwell_time_us_preset=20.0)([noise, line], Context(scan_header((64, 64, 1))))
    np.testing.assert_allclose(default.data, full.data * np.sqrt(0.793), rtol=1e-4)
    np.testing.assert_allclose(default.data, preset.data * 2, rtol=1e-4)


def test_without_noise_the_lines_pass_as_they_are(rng, scan_header, make_line):
    line, other = make_line(coloured(rng, 64)), object()
    assert list(NoiseAdjustGadget()([other, line], Context(scan_header((64, 64, 1))))) == [other, line]


def test_switched_off_it_only_eats_the_noise(rng, scan_header, make_line):
    noise, line = make_line(coloured(rng, 512), NOISE), make_line(coloured(rng, 64))
    assert list(NoiseAdjustGadget(perform_noise_adjust=False)([noise, line], Context(scan_header((64, 64, 1))))) == [
        line
    ]


def test_noise_after_the_first_line_changes_nothing(rng, scan_header, make_line):
    noise, line = make_line(coloured(rng, 512), NOISE), make_line(coloured(rng, 64))
    late = make_line(100 * coloured(rng, 512), NOISE)
    context = Context(scan_header((64, 64, 1)))
    first, second = NoiseAdjustGadget()([noise, line, late, line], context)
    np.testing.assert_array_equal(first.data, second.data)
    assert context.log.counts["late noise lines ignored"] == 1


def test_other_numbers_of_channels(rng, scan_header, make_line):
    noise, line = make_line(coloured(rng, 512), NOISE), make_line(coloured(rng, 64)[:2])
    context = Context(scan_header((64, 64, 1)))
    assert list(NoiseAdjustGadget()([noise, line, line], context)) == [line, line]
    assert len(context.log.problems) == 1
    with pytest.raises(ScanError, match="2 channels, the noise scan 4"):
        list(NoiseAdjustGadget(pass_nonconformant_data=False)([noise, line], context))


def test_degenerate_noise_is_an_error_and_zeros_are_not(rng, scan_header, make_line):
    samples = coloured(rng, 512)
    samples[1] = samples[0]
    context = Context(scan_header((64, 64, 1)))
    with pytest.raises(ScanError, match="not positive definite"):
        list(NoiseAdjustGadget()([make_line(samples, NOISE), make_line(samples)], context))
    np.testing.assert_array_equal(whitening_matrix(np.zeros((3, 3), complex)), np.eye(3))


def test_named_channels_are_only_scaled(rng, scan_header, make_line):
    header = scan_header((64, 64, 1), bandwidth=0.5)
    header.acquisitionSystemInformation.coilLabel = [
        ismrmrd.xsd.coilLabelType(coilNumber=i, coilName=f"coil {i}") for i in range(N_COILS)
    ]
    noise, line = make_line(coloured(rng, 512), NOISE), make_line(coloured(rng, 64))
    (whitened,) = NoiseAdjustGadget(scale_only_channels_by_name="coil 2, coil 9")([noise, line], Context(header))
    ratio = whitened.data[2] / line.data[2]
    deviation = np.sqrt((np.abs(noise.data[2]) ** 2).sum() / 511)
    np.testing.assert_allclose(ratio, 1 / deviation, rtol=1e-4)
