"""What a file gives to its chain: the lines, the noise of other measurements, and how far it has come."""

from dataclasses import replace

import h5py
import ismrmrd
import numpy as np
import pytest

from nilatron.gadgets.items import ScanError
from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.files.raw import open_raw
from nilatron.pipelines.progress import Bar
from nilatron.pipelines.python.raw import read_raw
from nilatron.pipelines.replay.run import replay
from nilatron.pipelines.replay.settings import ReplaySettings
from nilatron.pipelines.simulation.simulate import SimulationSettings, simulate

SCAN = SimulationSettings(
    matrix=(32, 28, 1), n_coils=3, n_slices=3, acceleration=2, calibration_lines=12, noise_std=0.03
)


def metadata(path, series=1, number=0):
    with h5py.File(path) as file:
        return ismrmrd.Meta.deserialize(file[f"images/image_{series}/attributes"][number].decode())


@pytest.fixture
def shown(monkeypatch):
    """What the progress bar is given: done, total, unit."""
    seen = []
    monkeypatch.setattr(Bar, "update", lambda _, done, total, unit, words="": seen.append((done, total, unit, words)))
    return seen


@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, 2])
def test_progress_counts_the_steps_of_all_slices_and_samples(tmp_path, linear_prior, shown, batch):
    simulate(tmp_path / "raw.h5", SCAN)
    properties = {"series": "nila,uncertainty", "steps": "4", "samples": "3", "sample_steps": "5"}
    properties["batch_slices"] = str(batch)
    settings = ReplaySettings(tmp_path / "raw.h5", tmp_path / "out.h5", properties=properties, weights=linear_prior)
    assert replay(settings).complete
    steps = [(done, total) for done, total, unit, _ in shown if unit == "steps"]
    each = 4 + 3 * 5
    assert {total for _, total in steps} == {3 * each}
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)
    assert steps[-1] == (3 * each, 3 * each)
    assert {done for done, _ in steps} >= {1, 4, 7, each + 1}
    assert shown[-1][3] == "slice 3 of 3"


def test_progress_of_a_method_without_steps_counts_slices(tmp_path, shown):
    simulate(tmp_path / "raw.h5", SCAN)
    assert replay(ReplaySettings(tmp_path / "raw.h5", tmp_path / "out.h5", "zero_filled")).complete
    assert (shown[0][0], shown[0][2]) == (0, "lines")
    assert [entry[:2] for entry in shown if entry[2] == "slices"] == [(1, 3), (2, 3), (3, 3)]


NOISY = replace(SCAN, n_coils=4, n_slices=1, noise_lines=24, noise_gain_spread=8.0)


def is_noise(line):
    return line.is_flag_set(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)


def ordered(lines, channels):
    return [ismrmrd.Acquisition(line.getHead(), np.ascontiguousarray(line.data[channels])) for line in lines]


@pytest.fixture
def apart(tmp_path, raw_file_of, noise_measurement):
    """A scan, its noise in a file of its own with the channels in another order, and both together."""
    order = [3, 0, 2, 1]
    header, items = noise_measurement(NOISY, "DACB", "noise_7")
    noise = raw_file_of(tmp_path / "noise.h5", header, ordered([item for item in items if is_noise(item)], order))
    header, items = noise_measurement(NOISY, "ABCD", "scan_8", "noise_7")
    scan = raw_file_of(tmp_path / "scan.h5", header, [item for item in items if not is_noise(item)])
    return noise, scan, raw_file_of(tmp_path / "both.h5", header, items)


def reconstructed(path, output, chain="cg_sense", **options):
    report = replay(ReplaySettings(path, output, chain, output_group="images", overwrite=True, **options))
    with h5py.File(output) as file:
        return report, file["images/image_1/data"][:], metadata(output)


@pytest.mark.slow
@pytest.mark.parametrize("chain", ["cg_sense", "nila_after_noise_adjust"])
def test_a_noise_file_counts_as_the_scans_own_noise(apart, tmp_path, linear_prior, chain):
    """Whether our own node whitens or the stock gadget in front of it, which knows of no noise file."""
    noise, scan, both = apart
    options = {"weights": linear_prior}
    report, found, meta = reconstructed(scan, tmp_path / "out.h5", chain, noise=noise, **options)
    _, expected, _ = reconstructed(both, tmp_path / "out.h5", chain, **options)
    assert report.complete
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3 * expected.max())
    if chain == "cg_sense":
        assert (meta["nilatron_noise_source"], meta["nilatron_noise_measurement"]) == ("noise file", "noise_7")
        assert (meta["nilatron_noise_dwell_us"], meta["nilatron_noise_bandwidth_ratio"]) == ("7.5", "0.793")


@pytest.mark.slow
def test_a_noise_file_goes_before_the_scans_own_noise(apart, tmp_path):
    noise, _, both = apart
    report, _, meta = reconstructed(both, tmp_path / "out.h5", noise=noise)
    assert meta["nilatron_noise_source"] == "noise file"
    assert report.log.counts["noise lines"] == 24


@pytest.mark.slow
def test_noise_of_an_earlier_measurement_comes_from_the_store(apart, tmp_path):
    noise, scan, both = apart
    store, output = tmp_path / "store", tmp_path / "out.h5"
    report = replay(ReplaySettings(noise, output, "cg_sense", noise_store=store))
    assert (report.n_images, report.stored_noise, report.complete) == (0, "noise_7", True)
    assert not output.exists()
    report, found, meta = reconstructed(scan, output, noise_store=store)
    assert report.complete
    assert (meta["nilatron_noise_source"], meta["nilatron_noise_measurement"]) == ("store", "noise_7")
    _, expected, meta = reconstructed(both, output, noise_store=store)
    assert (meta["nilatron_noise_source"], meta["nilatron_noise_measurement"]) == ("noise scan", "scan_8")
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3 * expected.max())


@pytest.mark.slow
@pytest.mark.parametrize(("name", "why"), [(None, "no noise store is configured"), ("empty", "it is not stored")])
def test_noise_that_is_missing_is_told_on_the_images(apart, tmp_path, name, why):
    store = None if name is None else tmp_path / name
    _, _, meta = reconstructed(apart[1], tmp_path / "out.h5", noise_store=store)
    assert meta["nilatron_noise_source"] == "data"
    assert any("'noise_7'" in comment and why in comment for comment in meta["ImageComment"])


@pytest.mark.slow
def test_a_noise_measurement_without_id_is_a_failure(apart, tmp_path, raw_file_of, noise_measurement):
    with open_raw(apart[0]) as raw:
        lines = list(raw.items())
    raw_file_of(apart[0], noise_measurement(NOISY)[0], lines)
    with pytest.raises(
        InputError, match=r"expected imaging lines, found 24 noise lines; .*its header has no measurementID"
    ):
        replay(ReplaySettings(apart[0], tmp_path / "out.h5", "cg_sense", noise_store=tmp_path / "store"))


def test_images_that_no_machine_can_hold_are_refused_before_the_first(tmp_path):
    simulate(tmp_path / "raw.h5", SCAN)
    with h5py.File(tmp_path / "raw.h5", "r+") as file:
        xml = file["dataset/xml"][0]
        file["dataset/xml"][0] = xml.replace(b"<y>28</y>", b"<y>60000</y>").replace(b"<x>64</x>", b"<x>65000</x>")
    for read in (
        lambda: replay(ReplaySettings(tmp_path / "raw.h5", tmp_path / "out.h5", "zero_filled")),
        lambda: read_raw(tmp_path / "raw.h5"),
    ):
        with pytest.raises(ScanError, match=r"one image needs about .* GiB .*3 x 1 x 60000 x .*, and this machine has"):
            read()
    assert not (tmp_path / "out.h5").exists()
