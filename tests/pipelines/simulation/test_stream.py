from collections import Counter
from dataclasses import replace

import ismrmrd
import numpy as np
import pytest

from nilatron.pipelines.simulation.header import simulated_header
from nilatron.pipelines.simulation.settings import EXTRA_FLAGS, SimulationSettings
from nilatron.pipelines.simulation.simulate import simulate_items

SMALL = SimulationSettings(matrix=(32, 24, 1), n_coils=4, noise_lines=4, calibration_lines=8)


NOISE = ismrmrd.ACQ_IS_NOISE_MEASUREMENT


def test_noise_scan_and_data_have_the_covariances_of_the_convention(lines_of):
    settings = replace(SMALL, matrix=(128, 96, 1), noise_lines=96, noise_std=0.5, n_repetitions=2)
    _, items = simulate_items(settings)
    scan = np.concatenate([a.data for a in items if a.isFlagSet(NOISE)], axis=1)
    first, second = (np.concatenate([a.data for a in lines_of(items) if a.idx.repetition == r], axis=1) for r in (0, 1))
    difference = (first - second) / np.sqrt(2)
    scan_covariance = scan @ scan.conj().T / scan.shape[1]
    data_covariance = difference @ difference.conj().T / difference.shape[1]
    expected = scan_covariance * settings.noise_dwell_us / settings.dwell_us / settings.noise_bandwidth
    assert np.linalg.norm(data_covariance - expected) < 0.04 * np.linalg.norm(expected)
    assert np.trace(data_covariance).real / 4 == pytest.approx(0.25, rel=0.03)
    gains = np.sqrt(np.diag(data_covariance).real)
    assert gains.max() / gains.min() > 1.3
    assert np.abs(data_covariance[0, 1]) > 0.2 * gains[0] * gains[1]
    # whitened by the noise scan with the scale of the convention, the data's noise is white with variance 1
    bandwidth = simulated_header(settings).acquisitionSystemInformation.relativeReceiverNoiseBandwidth
    dwell, noise_dwell = lines_of(items)[0].sample_time_us, items[0].sample_time_us
    white = np.linalg.solve(np.linalg.cholesky(scan_covariance), difference) * np.sqrt(dwell / noise_dwell * bandwidth)
    np.testing.assert_allclose(white @ white.conj().T / white.shape[1], np.eye(4), atol=0.05)


def test_time_counters_and_geometry_of_oblique_slices(lines_of):
    settings = replace(SMALL, n_slices=3, angles_deg=(20.0, -30.0, 10.0), centre_mm=(5.0, -7.0, 11.0))
    _, items = simulate_items(settings)
    stamps = [a.acquisition_time_stamp for a in items]
    assert stamps == sorted(stamps)
    assert len(set(stamps)) == len(stamps)
    assert [a.scan_counter for a in items] == list(range(len(items)))
    centres = {}
    for line in lines_of(items):
        axes = np.array([line.read_dir[:], line.phase_dir[:], line.slice_dir[:]])
        np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-6)
        assert np.linalg.det(axes) == pytest.approx(1, abs=1e-6)
        centres[line.idx.slice] = np.array(line.position[:])
    np.testing.assert_allclose(centres[1], settings.centre_mm, atol=1e-5)
    np.testing.assert_allclose(centres[2] - centres[1], 5.0 * axes[2], atol=1e-5)
    np.testing.assert_allclose(axes[0] @ [1, 0, 0], np.cos(np.radians(30)) * np.cos(np.radians(10)), atol=1e-6)


def test_waveforms_and_extra_lines_lie_in_between(lines_of):
    settings = replace(SMALL, waveform_every=6, extra_lines=tuple(EXTRA_FLAGS), extra_every=12)
    header, items = simulate_items(settings)
    waveforms = [item for item in items if isinstance(item, ismrmrd.Waveform)]
    assert len(waveforms) == 4
    assert header.waveformInformation[0].waveformType.value == "ecg"
    extra = [a for a in lines_of(items) if any(a.isFlagSet(flag) for flag in EXTRA_FLAGS.values())]
    assert len(extra) == 2 * len(EXTRA_FLAGS)
    assert Counter(flag for a in extra for flag in EXTRA_FLAGS.values() if a.isFlagSet(flag)) == dict.fromkeys(
        EXTRA_FLAGS.values(), 2
    )
    plain = {a.idx.kspace_encode_step_1: a for a in lines_of(items) if a not in extra}
    assert len(plain) == 24
    for line in extra:  # they must not be mistaken for the imaging line of the same index
        imaging = plain[line.idx.kspace_encode_step_1]
        assert np.linalg.norm(line.data - imaging.data) > np.linalg.norm(imaging.data)


def test_same_seed_same_scan():
    first, second, other = (simulate_items(replace(SMALL, seed=seed))[1] for seed in (1, 1, 2))
    assert all(np.array_equal(a.data, b.data) for a, b in zip(first, second, strict=True))
    assert not np.array_equal(first[10].data, other[10].data)
