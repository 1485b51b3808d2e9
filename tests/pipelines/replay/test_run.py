"""Replay itself: seeds, chains, earlier runs; and real scans."""

import logging
from pathlib import Path

import h5py
import ismrmrd
import numpy as np
import pytest

from nilatron.core.metrics import foreground, psnr
from nilatron.pipelines.replay.run import replay
from nilatron.pipelines.replay.settings import ReplaySettings
from nilatron.pipelines.simulation.simulate import SimulationSettings, ground_truth, simulate

SHARED = Path(__file__).resolve().parents[3] / "../shared/data"
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


def test_images_of_an_earlier_run_are_kept_beside_the_new_ones(tmp_path):
    simulate(tmp_path / "raw.h5", SCAN)
    for group in ("first", "second"):
        replay(ReplaySettings(tmp_path / "raw.h5", tmp_path / "out.h5", "zero_filled", output_group=group))
    with h5py.File(tmp_path / "out.h5") as file:
        assert sorted(file) == ["first", "second"]
        np.testing.assert_array_equal(file["first/image_1/data"][:], file["second/image_1/data"][:])


def test_log_names_the_slices(replayed, caplog):
    with caplog.at_level(logging.INFO):
        replayed(SCAN)
    assert "slice 2: " in caplog.text
    assert "sigma_measured" in caplog.text


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
