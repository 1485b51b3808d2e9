"""Replay itself: seeds, reports, pictures, chains; and real scans."""

import logging
from dataclasses import replace
from pathlib import Path

import h5py
import ismrmrd
import numpy as np
import pytest
from PIL import Image as Picture

from nilatron.core.metrics import foreground, psnr
from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.files.raw import open_raw
from nilatron.pipelines.progress import Bar
from nilatron.pipelines.replay import ReplaySettings, replay
from nilatron.pipelines.simulation.simulate import SimulationSettings, ground_truth, simulate

SHARED = Path(__file__).resolve().parents[2] / "../shared/data"
SCAN = SimulationSettings(
    matrix=(32, 28, 1), n_coils=3, n_slices=3, acceleration=2, calibration_lines=12, noise_std=0.03
)


def metadata(path, series=1, number=0):
    with h5py.File(path) as file:
        return ismrmrd.Meta.deserialize(file[f"images/image_{series}/attributes"][number].decode())


@pytest.mark.slow
def test_same_seed_same_bytes_another_seed_other_bytes(replayed, linear_prior, tmp_path):
    stored = []
    for seed in (1, 1, 2):
        _, images = replayed(SCAN, "nila", seed=seed, weights=linear_prior)
        with h5py.File(tmp_path / "out.h5") as file:
            group = file["images"]
            stored.append([group[s][part][:].tobytes() for s in group for part in ("data", "header")])
        assert {key[0] for key in images} == {1, 2}
    assert stored[0] == stored[1]
    assert stored[0] != stored[2]


@pytest.mark.slow
@pytest.mark.parametrize(
    "chain", ["zero_filled", "cg_sense", "l1_wavelet", "nila", "nila_published", "nila_after_gadgetron"]
)
def test_every_shipped_chain_gives_all_its_images(replayed, linear_prior, chain):
    few_steps = {"nila_published": {"steps": "20"}, "l1_wavelet": {"iterations": "10"}}
    report, images = replayed(SCAN, chain, weights=linear_prior, properties=few_steps.get(chain, {}))
    n_series = 2 if chain.startswith("nila") else 1
    assert report.complete
    assert (report.n_images, report.n_expected) == (3 * n_series, 3 * n_series)
    assert report.seconds > 0
    for (_, index, _, _), image in images.items():
        truth = np.abs(ground_truth(SCAN, index))
        assert psnr(image.astype(np.float32), truth, foreground(truth)) > 15


@pytest.mark.slow
def test_properties_go_before_those_of_the_chain(replayed, linear_prior, tmp_path):
    _, images = replayed(
        SCAN, "nila", weights=linear_prior, properties={"series": "nila", "steps": "3", "pixel_type": "int16"}
    )
    assert {key[0] for key in images} == {1}
    assert images[1, 0, 0, 0].dtype == np.int16
    assert metadata(tmp_path / "out.h5")["nilatron_steps"] == "3"


def test_pictures_are_those_of_the_images(replayed, tmp_path):
    _, images = replayed(SCAN, png=tmp_path / "png")
    names = sorted(path.name for path in (tmp_path / "png").iterdir())
    assert names == ["series001_0001.png", "series001_0002.png", "series001_0003.png"]
    with Picture.open(tmp_path / "png" / names[1]) as picture:
        grey = np.asarray(picture)
    magnitude = images[1, 1, 0, 0][0]  # the third to come: slices are interleaved
    expected = np.clip(np.rint(magnitude * 255 / np.percentile(magnitude, 99.5)), 0, 255)
    np.testing.assert_array_equal(grey, expected)


def test_dicom_files_beside_the_images(replayed, tmp_path):
    pytest.importorskip("highdicom")
    import pydicom

    replayed(SCAN, chain="cg_sense", dicom=tmp_path / "dicom")
    files = sorted((tmp_path / "dicom").iterdir())
    assert len(files) == SCAN.n_slices
    assert len({pydicom.dcmread(path).SOPInstanceUID for path in files}) == SCAN.n_slices
    assert len({pydicom.dcmread(path).SeriesInstanceUID for path in files}) == 1


OTHER_RUNS = {
    "the same": {},
    "another chain": {"chain": "cg_sense"},
    "another seed": {"seed": 1},
    "another property": {"properties": {"image_scale": "2"}},
    "other weights": {"weights": Path(__file__)},
    "other raw data, the same header": {"settings": replace(SCAN, seed=1)},
    "another file with noise": {"noise": True},
}


@pytest.mark.slow
def test_two_runs_share_no_identifier_and_the_same_run_has_its_own(replayed, tmp_path):
    pytest.importorskip("highdicom")
    import pydicom

    found = {}
    for name, how in OTHER_RUNS.items():
        simulate(tmp_path / "noise.h5", replace(SCAN, seed=2), overwrite=True)
        options = {"chain": "zero_filled", "settings": SCAN, "dicom": tmp_path / name} | how
        if options.pop("noise", False):
            options["noise"] = tmp_path / "noise.h5"
        replayed(**options)
        found[name] = list(map(pydicom.dcmread, sorted((tmp_path / name).iterdir())))
    replayed(SCAN, "zero_filled", dicom=tmp_path / "again")
    again = {path.name: path.read_bytes() for path in (tmp_path / "again").iterdir()}
    assert again == {path.name: path.read_bytes() for path in (tmp_path / "the same").iterdir()}
    images = [data.SOPInstanceUID for run in found.values() for data in run]
    assert len(set(images)) == len(images) == 3 * len(OTHER_RUNS)
    assert len({data.SeriesInstanceUID for run in found.values() for data in run}) == len(OTHER_RUNS)
    studies = {name: {data.StudyInstanceUID for data in run} for name, run in found.items()}
    assert studies["another chain"] == studies["the same"] != studies["other raw data, the same header"]


def test_dicom_files_are_numbered_by_place_and_images_by_slice_though_slices_are_interleaved(replayed, tmp_path):
    pytest.importorskip("highdicom")
    import pydicom

    replayed(replace(SCAN, n_slices=5), "zero_filled", dicom=tmp_path / "dicom")
    with h5py.File(tmp_path / "out.h5") as file:
        heads = file["images/image_1/header"][:]
    assert heads["slice"].tolist() == [0, 2, 4, 1, 3]
    assert heads["image_index"].tolist() == [1, 3, 5, 2, 4]
    stack = [pydicom.dcmread(path) for path in sorted((tmp_path / "dicom").iterdir())]
    assert [data.InstanceNumber for data in stack] == [1, 2, 3, 4, 5]
    steps = np.diff([float(data.SliceLocation) for data in stack])
    assert steps == pytest.approx(float(stack[0].SpacingBetweenSlices))


def test_images_that_dicom_cannot_hold_are_told_and_kept(replayed, tmp_path):
    """Here one slice of three has no read direction."""
    pytest.importorskip("highdicom")

    def spoil(path):
        with h5py.File(path, "r+") as file:
            rows = file["dataset/data"][:]
            rows["head"]["read_dir"][rows["head"]["idx"]["slice"] == 1] = 0
            file["dataset/data"][:] = rows

    report, images = replayed(SCAN, chain="zero_filled", edit=spoil, dicom=tmp_path / "dicom")
    assert len(images) == 3
    assert len(list((tmp_path / "dicom").iterdir())) == 2
    assert not report.complete
    (problem,) = (text for text in report.log.problems if "DICOM" in text)
    assert problem.startswith(f"{tmp_path / 'dicom'}: 1 image could not be written: DICOM needs directions of length 1")
    assert "read_dir (0, 0, 0)" in problem


def test_images_of_an_earlier_run_are_kept_beside_the_new_ones(tmp_path):
    simulate(tmp_path / "raw.h5", SCAN)
    for group in ("first", "second"):
        replay(ReplaySettings(tmp_path / "raw.h5", tmp_path / "out.h5", "zero_filled", output_group=group))
    with h5py.File(tmp_path / "out.h5") as file:
        assert sorted(file) == ["first", "second"]
        np.testing.assert_array_equal(file["first/image_1/data"][:], file["second/image_1/data"][:])


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


def test_log_names_the_slices(replayed, caplog):
    with caplog.at_level(logging.INFO):
        replayed(SCAN)
    assert "slice 2: " in caplog.text
    assert "sigma_measured" in caplog.text


# --- noise of other measurements

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


# --- real scans


@pytest.fixture
def real():
    def find(name):
        if not (SHARED / name).exists():
            pytest.skip(f"the shared development data are not beside the checkout: {name}")
        return SHARED / name

    return find


def replay_file(raw, output, chain="nila"):
    report = replay(ReplaySettings(raw, output, chain, output_group="images", overwrite=True))
    assert report.complete
    with h5py.File(output) as file:
        return {int(name.split("_")[1]): series["data"][0, 0] for name, series in file["images"].items()}


def without_noise_lines(raw, path):
    noise = np.uint64(1 << (ismrmrd.ACQ_IS_NOISE_MEASUREMENT - 1))
    with h5py.File(raw) as old, h5py.File(path, "w") as new:
        group = new.create_group("dataset")
        old.copy("dataset/xml", group)
        rows = old["dataset/data"][:]
        group["data"] = rows[(rows["head"]["flags"] & noise) == 0]
        assert len(group["data"]) < len(rows)
    return path


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize(("name", "least"), [("brain_8ch_R4.h5", 36.0), ("brain_8ch_R4_noisy.h5", 30.5)])
def test_accelerated_brain_against_the_full_scan(real, tmp_path, name, least):
    reference = replay_file(real("raw/brain_8ch_full.h5"), tmp_path / "out.h5", "cg_sense")[1]
    found = replay_file(real(f"raw/{name}"), tmp_path / "out.h5")
    values = {series: psnr(image, reference, foreground(reference)) for series, image in found.items()}
    assert values[1] > least
    assert values[1] > values[2] + 3


@pytest.mark.slow
@pytest.mark.shared
def test_brain_without_noise_lines(real, tmp_path):
    reference = replay_file(real("raw/brain_8ch_full.h5"), tmp_path / "out.h5", "cg_sense")[1]
    raw = real("raw/brain_8ch_R4_noisy.h5")
    files = (raw, without_noise_lines(raw, tmp_path / "raw.h5"))
    known, measured = (
        psnr(replay_file(path, tmp_path / "out.h5")[1], reference, foreground(reference)) for path in files
    )
    assert measured > known - 0.3


@pytest.mark.slow
@pytest.mark.shared
def test_scan_with_zero_dwell_time_and_without_measurement_information(real, tmp_path):
    found = replay_file(real("kspace/grappa2_1rep.h5"), tmp_path / "out.h5")
    assert set(found) == {1, 2}
    for image in found.values():
        assert image.shape == (1, 256, 256)
        assert np.isfinite(image).all()
    assert (
        psnr(found[1], found[2], foreground(found[2])) > 18
    )  # the same phantom; noise and some aliasing in the second
