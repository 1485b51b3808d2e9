"""Noise of another measurement, kept and found again; a dictionary stands for the folder."""

import logging
from dataclasses import dataclass, field, replace

import ismrmrd
import numpy as np
import pytest
from ismrmrd import xsd

from nilatron.gadgets.accumulate import Accumulator
from nilatron.gadgets.items import Context
from nilatron.gadgets.known_noise import NOISE_STORED
from nilatron.gadgets.noise import NoiseSettings, Whitening
from nilatron.gadgets.stock.noise_adjust import NoiseAdjustGadget
from nilatron.pipelines.simulation.simulate import SimulationSettings, simulate_items

NOISE = ismrmrd.ACQ_IS_NOISE_MEASUREMENT
SCAN = SimulationSettings(
    matrix=(64, 48, 1),
    n_coils=6,
    n_slices=2,
    noise_std=0.1,
    noise_lines=32,
    noise_gain_spread=8.0,
    noise_correlation=0.6,
)
LABELS = tuple("ABCDEF")


@dataclass
class Shelf:
    kept: dict = field(default_factory=dict)

    def read(self, measurement_id):
        found = self.kept.get(measurement_id)
        return found and replace(found, origin=replace(found.origin, source="store"))

    def write(self, noise):
        self.kept[noise.origin.measurement_id] = noise


def header_of(settings, own, labels=None, depends_on=()):
    header, items = simulate_items(settings)
    header.measurementInformation.measurementID = own
    header.measurementInformation.measurementDependency = [
        xsd.measurementDependencyType(dependencyType="noise", measurementID=name) for name in depends_on
    ]
    header.acquisitionSystemInformation.coilLabel = [
        xsd.coilLabelType(coilNumber=number, coilName=name) for number, name in enumerate(labels or ())
    ]
    return header, items


def run(header, items, word="auto", **options):
    context, whitening = Context(header, **options), Whitening(NoiseSettings(word))
    stream = whitening.lines(items, context)
    return list(whitening.slices(Accumulator()(stream, context), context)), context.log


def ordered(items, channels):
    for item in items:
        head = item.getHead()
        head.active_channels = len(channels)
        yield ismrmrd.Acquisition(head, np.ascontiguousarray(item.data[channels]))


def measure_noise(shelf, settings=SCAN, labels=LABELS, order=range(6), own="noise_1"):
    """Store the noise scan of the settings as a measurement of its own, its channels in another order."""
    header, items = header_of(settings, own, [labels[channel] for channel in order])
    noise = [item for item in items if item.is_flag_set(NOISE)]
    found, log = run(header, ordered(noise, list(order)), noise_store=shelf)
    assert found == []
    return log


def image_scan(labels=LABELS, depends_on=("noise_1",), **changes):
    header, items = header_of(replace(SCAN, **changes), "scan_2", labels, depends_on)
    return header, [item for item in items if not item.is_flag_set(NOISE)]


def known():
    """White slices of the scan with its own noise scan."""
    return run(*simulate_items(SCAN))[0]


def test_a_measurement_of_noise_alone_is_kept():
    shelf = Shelf()
    log = measure_noise(shelf)
    assert log.counts[NOISE_STORED] == 1
    assert log.problems == []
    noise = shelf.kept["noise_1"]
    assert (noise.n_samples, noise.dwell_us, noise.coil_names) == (32 * 128, 7.5, LABELS)
    assert (noise.origin.measurement_id, noise.origin.bandwidth_ratio) == ("noise_1", 0.793)
    assert np.linalg.norm(noise.covariance - SCAN.noise_scan_covariance) < 0.05 * np.linalg.norm(noise.covariance)


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4, 5), (3, 0, 5, 1, 4, 2)])
def test_a_scan_that_depends_on_it_is_whitened_with_it(order):
    shelf = Shelf()
    measure_noise(shelf, order=order)
    found, log = run(*image_scan(), noise_store=shelf)
    assert log.problems == []
    for item, other in zip(found, known(), strict=True):
        np.testing.assert_allclose(np.abs(item.kspace[0]), np.abs(other.kspace[0]), rtol=1e-3, atol=1e-2)
        assert (item.noise.source, item.noise.measurement_id) == ("store", "noise_1")
        assert (item.noise.dwell_us, item.noise.bandwidth_ratio) == (7.5, 0.793)
        assert item.notes == ()


def test_fewer_coils_get_their_own_noise():
    shelf = Shelf()
    measure_noise(shelf, order=(3, 0, 5, 1, 4, 2))
    header, items = image_scan(labels="ACF")
    few, _ = run(header, list(ordered(items, [0, 2, 5])), noise_store=shelf)
    header, items = simulate_items(SCAN)
    expected, _ = run(header, list(ordered(items, [0, 2, 5])))
    for item, other in zip(few, expected, strict=True):
        np.testing.assert_allclose(np.abs(item.kspace), np.abs(other.kspace), rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize(
    "change",
    [{"noise_dwell_us": 20.0}, {"noise_bandwidth": 0.4}, {"noise_dwell_us": 0.0, "noise_bandwidth": 0.4}],
)
def test_it_counts_with_its_own_dwell_time_and_bandwidth(change):
    shelf = Shelf()
    measure_noise(shelf, replace(SCAN, **change))
    found, _ = run(*image_scan(), noise_store=shelf)
    for item, other in zip(found, known(), strict=True):
        assert np.linalg.norm(item.kspace) == pytest.approx(np.linalg.norm(other.kspace), rel=0.03)
        assert item.noise.bandwidth_ratio == change.get("noise_bandwidth", 0.793)
        assert item.noise.dwell_us == change.get("noise_dwell_us", 7.5)


def test_noise_lines_of_the_scan_itself_go_first():
    shelf = Shelf()
    measure_noise(shelf)
    header, items = header_of(SCAN, "scan_2", LABELS, ["noise_1"])
    found, _ = run(header, items, noise_store=shelf)
    assert {item.noise.source for item in found} == {"noise scan"}
    others = [*ordered((item for item in items if item.is_flag_set(NOISE)), [0, 1]), *image_scan()[1]]
    found, log = run(header, others, noise_store=shelf)
    assert {item.noise.source for item in found} == {"store"}
    assert log.problems == []


@pytest.mark.parametrize(
    ("store", "why"), [(None, "no noise store is configured (--noise-store)"), (Shelf(), "it is not stored")]
)
def test_a_missing_measurement_is_told(store, why, caplog):
    found, log = run(*image_scan(), noise_store=store)
    for item in found:
        assert item.noise.source == "data"
        assert any(why in note and "'noise_1'" in note for note in item.notes)
    assert sum(why in message for message in caplog.messages) == 1
    assert log.problems == []


def test_a_chain_in_front_that_has_whitened_needs_no_store():
    shelf = Shelf()
    measure_noise(shelf)
    header, items = header_of(SCAN, "scan_2", LABELS, ["noise_1"])
    for word in ("auto", "yes"):
        for store in (shelf, None):
            white = list(NoiseAdjustGadget()(items, Context(header)))
            found, _ = run(header, white, word, noise_store=store)
            assert {item.noise.source for item in found} == {"upstream"}
            assert not any("noise measurement" in note for item in found for note in item.notes)


def test_one_that_does_not_fit_is_a_problem_and_the_data_tell():
    shelf = Shelf()
    measure_noise(shelf)
    found, log = run(*image_scan(labels="ABCDEX"), noise_store=shelf)
    assert {item.noise.source for item in found} == {"data"}
    (problem,) = log.problems
    assert "'noise_1' does not fit the coils of this scan: the noise scan has no channels for the coils 'X'" in problem
    for item in found:  # images tell no labels
        assert any(note.endswith("does not fit the coils of this scan") for note in item.notes)


@pytest.mark.parametrize(
    ("own", "n_lines", "message"), [("", 32, "its header has no measurementID"), ("n", 0, None), ("n", 1, None)]
)
def test_noise_that_cannot_be_kept_is_a_problem(own, n_lines, message):
    shelf, silent = Shelf(), n_lines == 0
    header, items = header_of(SCAN, own)
    lines = [item for item in items if item.is_flag_set(NOISE)][: n_lines or 4]
    for line in lines:
        line.data[:] *= 0 if silent else 1
    few = lines if n_lines != 1 else [ismrmrd.Acquisition.from_array(lines[0].data[:, :5])]
    for line in few:
        line.set_flag(NOISE)
    _, log = run(header, few, noise_store=shelf)
    assert shelf.kept == {}
    assert message or "samples or is empty" in log.problems[0]
    assert "cannot be stored" in log.problems[0]


def test_scans_with_images_and_scans_without_a_store_keep_nothing(caplog):
    shelf = Shelf()
    run(*simulate_items(SCAN), noise_store=shelf)
    assert shelf.kept == {}
    with caplog.at_level(logging.WARNING):
        _, log = run(header_of(SCAN, "noise_1")[0], [i for i in simulate_items(SCAN)[1] if i.is_flag_set(NOISE)])
    assert log.problems == caplog.messages == []
    assert log.counts[NOISE_STORED] == 0
