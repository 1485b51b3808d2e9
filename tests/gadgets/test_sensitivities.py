from dataclasses import replace

import numpy as np
import pytest

from nilatron.core.coils.moved import moved
from nilatron.core.metrics import foreground
from nilatron.core.phantom import coil_maps
from nilatron.gadgets.accumulate import Accumulator
from nilatron.gadgets.conventional import provenance
from nilatron.gadgets.items import Context
from nilatron.gadgets.sensitivities import MapSettings, Sensitivities, estimate_sensitivities
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


def told(item, **settings):
    context = Context(None)
    (found,) = Sensitivities(MapSettings(**settings))([replace(item, coil_maps=None, maps_from="", notes=())], context)
    return found


@pytest.mark.parametrize(
    ("way", "source"), [("auto", "calibration"), ("espirit", "calibration"), ("joint", "joint estimation")]
)
def test_the_way_is_chosen_and_told(way, source):
    (item,), _ = with_maps(replace(SCAN, acceleration=2))
    found = told(replace(item, coil_maps=None), coil_maps=way)
    assert found.maps_from == source
    assert agreement(found, SCAN) > 0.95
    assert provenance(found, Context(None))["coil_maps"] == source


def test_walsh_maps_are_those_of_the_image_of_the_calibration():
    (item,), _ = with_maps(replace(SCAN, acceleration=2))
    assert told(item, coil_maps="walsh").maps_from == "the image of the calibration"
    assert told(replace(item, calibration=None), coil_maps="walsh").maps_from == "low frequencies"


def test_few_calibration_lines_are_completed_by_the_lines_around_them():
    (item,), log = with_maps(replace(SCAN, acceleration=3, calibration_lines=8))
    assert item.maps_from == "joint estimation"
    assert any("few calibration lines" in note for note in item.notes)
    assert log.counts["slices without usable calibration"] == 0
    assert agreement(item, SCAN) > 0.97
    assert item.thin_maps


def test_few_lines_of_a_scan_of_their_own_stay_what_they_are():
    (item,), _ = with_maps(replace(SCAN, acceleration=3, calibration_lines=8))
    noise = np.random.default_rng(0).standard_normal(item.calibration.shape).astype(np.float32)
    other = replace(item, calibration=item.calibration + 0.01 * np.abs(item.calibration).max() * noise)
    assert told(other).maps_from == "calibration"


def test_a_calibration_of_another_place_is_moved_and_told():
    (item,), _ = with_maps(replace(SCAN, acceleration=2))
    shift = (0.0, 2 / item.kspace.shape[2], 0.0)
    found = told(replace(item, calibration=moved(item.calibration, shift)))
    assert found.maps_from == "calibration, moved"
    assert any("moved to where they fit the lines" in note for note in found.notes)
    assert found.thin_maps
    assert agreement(found, SCAN) > 0.95


def test_maps_of_calibration_lines_are_thin_where_the_lines_contradict_them():
    (item,), _ = with_maps(replace(SCAN, acceleration=2))
    assert not item.thin_maps
    assert told(replace(item, calibration=item.calibration[:, :, ::-1])).thin_maps
    single = replace(item, kspace=item.kspace[:1], calibration=item.calibration[:1, :, ::-1])
    assert not told(single).thin_maps


def test_two_sets_are_made_where_asked_for_and_told():
    (item,), _ = with_maps(replace(SCAN, acceleration=2))
    assert told(item).coil_maps.shape == (6, 1, 64, 64)
    found = told(item, map_sets="2")
    assert found.coil_maps.shape == (2, 6, 1, 64, 64)
    assert provenance(found, Context(None))["map_sets"] == "2"
    assert "map_sets" not in provenance(item, Context(None))


@pytest.mark.parametrize(
    ("settings", "message"), [({"coil_maps": "best"}, "coil_maps must"), ({"map_sets": "3"}, "map_sets must")]
)
def test_other_words_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        MapSettings(**settings)


def test_maps_that_a_slice_has_stay_but_for_their_scale():
    (estimated,), _ = with_maps(SCAN)
    (item,), log = with_maps(SCAN, lambda item: replace(item, coil_maps=3 * estimated.coil_maps))
    np.testing.assert_allclose(item.coil_maps, estimated.coil_maps, atol=1e-6)
    assert not log.counts["slices without usable calibration"]
