from dataclasses import replace

import ismrmrd
import numpy as np
import pytest

from nilatron.gadgets.accumulate import Accumulator
from nilatron.gadgets.items import Context
from nilatron.gadgets.noise import NoiseSettings, Whitening
from nilatron.gadgets.noise.whitening import CONTRADICTED
from nilatron.pipelines.simulation.simulate import SimulationSettings, simulate_items

SCAN = SimulationSettings(matrix=(96, 96, 1), n_coils=6, noise_std=0.04, noise_gain_spread=6.0, acceleration=2)


def whitened(scan, change=lambda data: data):
    """The slice of a scan whose noise lines (coil, sample) were changed, and the log."""
    header, items = simulate_items(scan)
    for item in items:
        if item.is_flag_set(ismrmrd.ACQ_IS_NOISE_MEASUREMENT):
            item.data[:] = change(item.data.copy())
    context, gadgets = Context(header), Whitening(NoiseSettings())
    lines = gadgets.lines(items, context)
    (item,) = gadgets.slices(Accumulator()(lines, context), context)
    return item, context.log


def outer_levels(item):
    """Standard deviation of each channel in the outer rows."""
    rows = np.flatnonzero(item.counts[0].any(axis=1))[:8]
    return np.std(item.kspace[:, 0, rows], axis=(1, 2))


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[[4, 1, 5, 0, 3, 2]],
        lambda data: data * np.array([1, 1, 10, 1, 1, 1])[:, None],
        lambda data: data * np.array([1, 1, 0.1, 1, 1, 1])[:, None],
        lambda data: data * np.array([1, 1, 0, 1, 1, 1])[:, None],
    ],
    ids=["another order", "a loud channel", "a quiet channel", "a silent channel"],
)
def test_a_noise_scan_of_other_channels_gives_way_to_the_data(change):
    item, log = whitened(SCAN, change)
    assert log.counts[CONTRADICTED] == 1
    assert item.noise.source == "data"
    assert any("noise measured from the image data" in note for note in item.notes)
    np.testing.assert_allclose(outer_levels(item), 1, atol=0.35)


@pytest.mark.parametrize("factor", [0.001, 0.5, 1.0, 3.0, 1000.0])
def test_a_level_alone_is_no_matter_of_channels(factor):
    item, log = whitened(SCAN, lambda data: factor * data)
    assert log.counts[CONTRADICTED] == 0
    assert item.noise.source == "noise scan"
    np.testing.assert_allclose(outer_levels(item), 1, atol=0.35)


@pytest.mark.parametrize(
    "scan",
    [
        replace(SCAN, noise_std=1e-5),
        replace(SCAN, noise_std=0.5),
        replace(SCAN, noise_lines=1),
        replace(SCAN, noise_gain_spread=1.0, n_averages=3),
        replace(SCAN, n_coils=1, acceleration=1),
        replace(SCAN, matrix=(32, 32, 8), n_coils=16, fov_mm=(220.0, 220.0, 40.0), calibration_lines=8),
    ],
    ids=["hardly any noise", "much noise", "one noise line", "averages", "one coil", "a small volume"],
)
def test_right_noise_scans_stand(scan):
    item, log = whitened(scan)
    assert log.counts[CONTRADICTED] == 0
    assert item.noise.source == "noise scan"


def test_an_offset_of_the_noise_lines_is_told_and_stays_in_its_covariance():
    item, log = whitened(SCAN, lambda data: data + 0.2)
    assert log.counts[CONTRADICTED] == 0
    assert "have an offset" in " ".join(log.problems)
    assert item.noise.source == "noise scan"
