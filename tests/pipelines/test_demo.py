from dataclasses import replace

import ismrmrd
import numpy as np
import pytest
from PIL import Image as Picture
from rich.console import Console

from nilatron.gadgets.settings import SettingsError
from nilatron.pipelines.demo import CHAINS, SCAN, read_series, run_demo
from nilatron.pipelines.files.labels import STRIP_HEIGHT
from nilatron.pipelines.simulation.simulate import SimulationSettings, ground_truth

SMALL = replace(SCAN, matrix=(64, 64, 1), n_slices=2, calibration_lines=16, acceleration=3)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "new"
    return folder, run_demo(folder, seed=3, scan=SMALL)


@pytest.mark.slow
def test_every_reconstruction_has_its_row(demo):
    _, report = demo
    assert report.complete
    assert [row.method for row in report.rows] == list(CHAINS.values())
    assert all(row.seconds_per_slice > 0 for row in report.rows)


@pytest.mark.slow
def test_nila_is_the_best(demo):
    values = {row.method: row.psnr_db for row in demo[1].rows}
    assert max(values, key=values.get) == "Nila"
    assert all(15 < value < 50 for value in values.values())


@pytest.mark.slow
def test_table_can_be_read(demo):
    console = Console(width=100)
    with console.capture() as capture:
        console.print(demo[1].table())
    for row in demo[1].rows:
        assert row.method in capture.get()
        assert f"{row.psnr_db:.2f}" in capture.get()


@pytest.mark.slow
def test_picture_shows_truth_and_reconstructions_side_by_side(demo):
    _, report = demo
    with Picture.open(report.picture) as picture:
        grey = np.asarray(picture).astype(float)
    assert grey.shape == (STRIP_HEIGHT + 64, 64 * (1 + len(CHAINS)))
    assert all(names.min() < 100 for names in np.split(grey[:STRIP_HEIGHT], 1 + len(CHAINS), axis=1))
    truth = np.abs(ground_truth(replace(SMALL, seed=3), 0))[0]
    for tile in np.split(grey[STRIP_HEIGHT:], 1 + len(CHAINS), axis=1):
        assert np.corrcoef(tile.ravel(), truth.ravel())[0, 1] > 0.85


@pytest.mark.slow
def test_images_are_read_in_slice_order(demo):
    folder, _ = demo
    images = read_series(folder / "cg_sense.h5", "images", 1)
    for index, image in enumerate(images):
        similar = [np.corrcoef(image.ravel(), np.abs(ground_truth(SMALL, n)).ravel())[0, 1] for n in range(2)]
        assert int(np.argmax(similar)) == index


@pytest.mark.slow
def test_a_second_demo_replaces_the_first(demo):
    folder, report = demo
    before = sorted(path.name for path in folder.iterdir())
    again = run_demo(folder, seed=3, scan=SMALL)
    assert sorted(path.name for path in folder.iterdir()) == before
    assert [row.psnr_db for row in again.rows] == [row.psnr_db for row in report.rows]


@pytest.mark.slow
def test_an_engine_may_be_named(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    report = run_demo(tmp_path, seed=3, scan=replace(SMALL, matrix=(32, 32, 1), n_slices=1), engine="tensorrt")
    assert report.complete
    with ismrmrd.Dataset(tmp_path / "nila.h5", "images", mode="r") as file:
        assert "tensorrt" in file.read_image("image_1", 0).meta["nilatron_engine"]


def test_an_unknown_engine_is_refused_before_the_work(tmp_path):
    with pytest.raises(SettingsError, match=r"engine must be one of torch, .*got 'tpu'"):
        run_demo(tmp_path / "new", seed=3, scan=SMALL, engine="tpu")
    assert list(tmp_path.iterdir()) == []


def test_the_scan_is_accelerated_and_noisy():
    assert isinstance(SCAN, SimulationSettings)
    assert SCAN.acceleration >= 2
    assert SCAN.noise_std > 0
