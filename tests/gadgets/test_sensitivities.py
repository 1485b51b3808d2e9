from dataclasses import replace

import numpy as np
import pytest

from nilatron.core.metrics import foreground
from nilatron.core.phantom import coil_maps
from nilatron.gadgets.accumulate import Accumulator
from nilatron.gadgets.items import Context
from nilatron.gadgets.sensitivities import estimate_sensitivities
from nilatron.pipelines.simulation.simulate import SimulationSettings, ground_truth, simulate_items

SCAN = SimulationSettings(matrix=(64, 64, 1), n_coils=6, noise_std=0.001, noise_lines=0, calibration_lines=20)


def with_maps(settings, change=lambda item: item):
    header, items = simulate_items(settings)
    context = Context(header)
    slices = (change(item) for item in Accumulator()(items, context))
    return list(estimate_sensitivities(slices, context)), context.log


def agreement(item, settings):
    """Smallest |<S, S_true>| inside the object, where 1 is the same map up to a phase per pixel."""
    truth = np.abs(ground_truth(settings))
    box = [settings.fov_mm[0] * 0.92, settings.fov_mm[1] * 0.92]
    share = (1.0, settings.fov_mm[1] / box[1], settings.fov_mm[0] / box[0])
    true = coil_maps(settings.n_coils, item.counts.shape, (0.05, *share[1:]))
    overlap = np.abs(np.sum(item.coil_maps.conj() * true, axis=0))
    return np.percentile(overlap[foreground(truth)], 2)


@pytest.mark.parametrize("acceleration", [1, 3])
def test_maps_are_those_of_the_coils(acceleration):
    settings = replace(SCAN, acceleration=acceleration)
    (item,), _ = with_maps(settings)
    assert item.coil_maps.shape == (6, 1, 64, 64)
    assert item.coil_maps.dtype == np.complex64
    assert agreement(item, settings) > 0.98


def test_energy_is_one_inside_and_zero_outside():
    (item,), _ = with_maps(replace(SCAN, acceleration=2))
    energy = np.sum(np.abs(item.coil_maps) ** 2, axis=0)
    truth = np.abs(ground_truth(SCAN))
    np.testing.assert_allclose(energy[truth > 0.3], 1, atol=1e-4)
    assert energy[0, 0, 0] == 0


def test_without_calibration_of_a_full_scan():
    (item,), log = with_maps(SCAN, lambda item: replace(item, calibration=None))
    assert agreement(item, SCAN) > 0.9
    assert log.counts["slices without usable calibration"] == 1
    assert any("coil maps are approximate" in note for note in item.notes)


def test_calibration_without_signal_falls_back_to_the_data():
    (item,), log = with_maps(SCAN, lambda item: replace(item, calibration=0 * item.calibration))
    assert agreement(item, SCAN) > 0.9
    assert log.counts["slices without usable calibration"] == 1


def test_maps_that_do_not_cover_the_object_are_replaced_and_told(monkeypatch):
    monkeypatch.setattr(
        "nilatron.core.recon.espirit_sets", lambda _, shape, __, ___: np.zeros((1, 6, *shape), np.complex64)
    )
    (item,), log = with_maps(replace(SCAN, acceleration=2))
    assert agreement(item, SCAN) > 0.9
    assert log.counts["slices without usable calibration"] == 1
    assert any("did not cover the object" in note for note in item.notes)


def test_one_coil_needs_no_calibration():
    (item,), log = with_maps(replace(SCAN, n_coils=1, calibration="none", acceleration=2))
    assert np.abs(item.coil_maps[np.abs(item.coil_maps) > 0]) == pytest.approx(1, abs=1e-5)
    assert item.notes == ()
    assert log.counts["slices without usable calibration"] == 0


def test_no_signal_gives_finite_maps():
    (item,), _ = with_maps(SCAN, lambda item: replace(item, kspace=0 * item.kspace, calibration=None))
    assert np.isfinite(item.coil_maps).all()


def test_other_items_pass():
    header, _ = simulate_items(SCAN)
    assert list(estimate_sensitivities(["item"], Context(header))) == ["item"]
