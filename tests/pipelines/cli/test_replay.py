"""`nilatron replay` as users see it."""

import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import ismrmrd
import pytest
from safetensors import SafetensorError

from nilatron.gadgets import methods
from nilatron.pipelines import cli
from nilatron.pipelines.files.disk import OutputError
from nilatron.pipelines.files.hdf5.writer import STRUCTURES_BYTES
from nilatron.pipelines.files.images import ImageFile
from nilatron.pipelines.simulation.simulate import simulate


def test_replay_says_what_it_wrote(command, raw, folder):
    code, out, err = command("replay", raw, "-o", folder / "out.h5", "-c", "cg_sense.xml", "--png", folder / "png")
    assert (code, err) == (0, "")
    assert re.fullmatch(rf"2 images to {re.escape(str(folder / 'out.h5'))} in [\d.]+ s\n", out)
    assert sorted(path.name for path in (folder / "png").iterdir()) == ["series001_0001.png", "series001_0002.png"]
    with h5py.File(folder / "out.h5") as file:
        (group,) = file
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", group)


def fail_on_second_slice():
    calls = []

    def run(problem, settings):
        calls.append(settings)
        if len(calls) == 2:
            raise RuntimeError("the network exploded")
        return methods.Outcome({"main": problem.conventional})

    return run


def test_fall_back_is_exit_code_3_and_keeps_all_images(command, raw, folder, monkeypatch):
    monkeypatch.setitem(methods.METHODS, "nila", replace(methods.METHODS["nila"], run=fail_on_second_slice()))
    code, out, err = command("replay", raw, "-o", folder / "out.h5", "-G", "images")
    assert code == 3
    assert out.startswith("4 images")
    assert "the network exploded" in err
    assert "not complete" in err.splitlines()[-1]
    with ismrmrd.Dataset(folder / "out.h5", "images", mode="r") as file:
        assert (file.number_of_images("image_1"), file.number_of_images("image_2")) == (2, 2)


def test_a_doubtful_image_is_exit_code_3_and_is_kept(command, tmp_path, folder, scan_settings):
    pytest.importorskip("highdicom")
    raw, scan = tmp_path / "raw.h5", replace(scan_settings, matrix=(48, 48, 1), n_slices=1, n_coils=4, noise_std=0.01)
    simulate(raw, replace(scan, acceleration=3, calibration="none"))
    words = ("replay", raw, "-o", folder / "out.h5", "-G", "images", "-c", "cg_sense", "--dicom", folder / "dicom")
    code, out, err = command(*words)
    assert code == 3
    assert out.startswith("1 image ")
    assert "doubtful main image: " in err.splitlines()[-1]
    with ismrmrd.Dataset(folder / "out.h5", "images", mode="r") as file:
        meta = file.read_image("image_1", 0).meta
    assert "DOUBTFUL" in meta["SeriesDescription"][0]
    (dicom,) = (folder / "dicom").iterdir()
    from pydicom import dcmread

    data = dcmread(dicom)
    assert "DOUBTFUL" in data.SeriesDescription
    assert meta["nilatron_doubt"] in data.ImageComments


def test_a_scan_without_imaging_lines(command, tmp_path, folder, one_line, scan_settings):
    raw = tmp_path / "raw.h5"
    simulate(raw, replace(scan_settings, n_slices=1))
    with h5py.File(raw, "r+") as file:
        file["dataset/data"].resize(4, axis=0)
    code, _, err = command("replay", raw, "-o", folder / "out.h5", "-c", "zero_filled")
    assert code == 2
    assert re.search("expected imaging lines, found .*4 noise lines", one_line(err))
    assert list(folder.iterdir()) == []


def test_noise_from_another_file(command, raw, folder, tmp_path, scan_settings):
    simulate(tmp_path / "noise.h5", replace(scan_settings, seed=3, n_slices=1))
    simulate(raw, replace(scan_settings, noise_lines=0), overwrite=True)
    words = ("-o", folder / "out.h5", "-G", "images", "-c", "zero_filled", "--noise", tmp_path / "noise.h5")
    assert command("replay", raw, *words)[0] == 0
    with h5py.File(folder / "out.h5") as file:
        meta = ismrmrd.Meta.deserialize(file["images/image_1/attributes"][0].decode())
    assert meta["nilatron_noise_source"] == "noise file"


@pytest.fixture
def noise_alone(tmp_path, scan_settings, raw_file_of, noise_measurement):
    header, items = noise_measurement(scan_settings, "AB", "noise_7")
    lines = [item for item in items if item.is_flag_set(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)]
    return raw_file_of(tmp_path / "noise.h5", header, lines)


def test_a_noise_measurement_is_stored(command, noise_alone, folder, tmp_path):
    words = ("replay", noise_alone, "-o", folder / "out.h5", "-c", "cg_sense")
    code, out, err = command(*words, "--noise-store", tmp_path / "store")
    assert (code, err) == (0, "")
    assert out == f"noise of measurement 'noise_7' stored in {tmp_path / 'store'}; it gives no images\n"
    assert list(folder.iterdir()) == []


def test_without_a_store_a_noise_measurement_is_an_error_that_names_it(command, noise_alone, folder, one_line):
    code, _, err = command("replay", noise_alone, "-o", folder / "out.h5", "-c", "cg_sense")
    assert code == 2
    assert re.search("expected imaging lines, found .*4 noise lines.*--noise-store DIR", one_line(err))


def test_labels_of_a_noise_file_that_do_not_fit_are_named(
    command, noise_alone, folder, one_line, tmp_path, scan_settings, raw_file_of, noise_measurement
):
    scan = raw_file_of(tmp_path / "scan.h5", *noise_measurement(scan_settings, "AX"))
    code, _, err = command("replay", scan, "-o", folder / "out.h5", "-c", "cg_sense", "--noise", noise_alone)
    assert code == 2
    assert "no channels for the coils 'X'; it has 2, 'A', 'B'" in one_line(err)
    assert list(folder.iterdir()) == []


def test_the_store_is_the_servers_own(command, raw, folder, one_line):
    words = ("replay", raw, "-o", folder / "out.h5", "--address", "localhost:1", "--noise-store", folder)
    code, _, err = command(*words)
    assert code == 2
    assert "serve --noise-store" in one_line(err)


def test_a_full_disk_is_one_line_and_keeps_what_fitted(command, raw, folder, one_line, small_disk):
    with small_disk(STRUCTURES_BYTES + 16_000):
        code, out, err = command("replay", raw, "-o", folder / "out.h5", "-c", "zero_filled", "-G", "images")
    assert (code, out[:9]) == (3, "1 image t")
    assert one_line(err).endswith(
        f"out.h5: File too large after 1 image; 1 finished image was kept in {folder / 'out.h5'}"
    )
    with ismrmrd.Dataset(folder / "out.h5", "images", mode="r") as file:
        assert file.number_of_images("image_1") == 1
    assert list(folder.iterdir()) == [folder / "out.h5"]


def test_a_disk_without_room_for_one_image_is_one_line(command, raw, folder, one_line, small_disk):
    with small_disk(1000):
        code, _, err = command("replay", raw, "-o", folder / "out.h5", "-c", "zero_filled")
    assert code == 3
    assert one_line(err) == f"nilatron: {folder / 'out.h5'}: File too large after 0 images"
    assert list(folder.iterdir()) == []


def test_a_full_picture_folder_costs_no_image(command, raw, folder, one_line, monkeypatch):
    def full(_, path):
        path.write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("nilatron.pipelines.replay.exports.write_png", full)
    words = ("replay", raw, "-o", folder / "out.h5", "-c", "zero_filled", "-G", "images", "--png", folder / "png")
    code, out, err = command(*words)
    assert (code, out[:9]) == (3, "2 images ")
    assert f"{folder / 'png'}: 2 images could not be written: No space left on device" in one_line(err)
    with ismrmrd.Dataset(folder / "out.h5", "images", mode="r") as file:
        assert file.number_of_images("image_1") == 2
    assert list((folder / "png").iterdir()) == []


def test_a_picture_folder_that_cannot_be_made_costs_no_image(command, raw, folder, one_line, monkeypatch):
    make = Path.mkdir

    def full(path, *words, **options):
        if "png" in path.name:
            raise OSError(28, "No space left on device", str(path))
        make(path, *words, **options)

    monkeypatch.setattr(Path, "mkdir", full)
    words = ("replay", raw, "-o", folder / "out.h5", "-c", "zero_filled", "--png", folder / "png")
    code, out, err = command(*words)
    assert (code, out[:9]) == (3, "2 images ")
    assert f"{folder / 'png'}: No space left on device; nothing was written" in one_line(err)
    assert list(folder.iterdir()) == [folder / "out.h5"]


@pytest.mark.parametrize("reader", ["raw", "noise"])
def test_a_file_that_is_read_is_not_written(command, raw, folder, one_line, reader):
    noise = folder / "noise.h5"
    noise.write_bytes(raw.read_bytes())
    (folder / "link.h5").symlink_to(raw if reader == "raw" else noise)
    before = raw.read_bytes()
    code, _, err = command("replay", raw, "-o", folder / "link.h5", "-c", "zero_filled", "--noise", noise)
    assert code == 2
    assert f"link.h5 is the {reader} file" in one_line(err)
    assert raw.read_bytes() == noise.read_bytes() == before


def test_pictures_of_two_runs_are_not_mixed(command, raw, folder, one_line):
    words = ("replay", raw, "-o", folder / "out.h5", "-c", "zero_filled", "--png", folder / "png")
    assert command(*words)[0] == 0
    (folder / "png" / "series009_0001.png").write_text("of a longer scan")
    code, _, err = command(*words, "-G", "again")
    assert code == 2
    assert "holds files of an earlier run" in one_line(err)
    assert command(*words, "--overwrite")[0] == 0
    assert sorted(path.name for path in (folder / "png").iterdir()) == ["series001_0001.png", "series001_0002.png"]
    with h5py.File(folder / "out.h5") as file:
        assert len(file) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_signal_keeps_finished_images(command, raw, folder, one_line, monkeypatch, number):
    write = ImageFile.write

    def write_and_stop(file, image):
        write(file, image)
        os.kill(os.getpid(), number)

    monkeypatch.setattr(ImageFile, "write", write_and_stop)
    words = ("replay", raw, "-o", folder / "out.h5", "-c", "zero_filled", "-G", "images", "--png", folder / "png")
    code, out, err = command(*words)
    assert (code, out[:9]) == (128 + number, "1 image t")
    name = signal.Signals(number).name
    assert one_line(err) == f"nilatron: stopped by {name}; 1 finished image was kept in {folder / 'out.h5'}"
    with ismrmrd.Dataset(folder / "out.h5", "images", mode="r") as file:
        assert file.number_of_images("image_1") == 1
    assert {path.name for path in folder.iterdir()} == {"out.h5", "png"}
    assert [path.name for path in (folder / "png").iterdir()] == ["series001_0001.png"]


def test_what_is_kept_replaces_nothing_that_is_whole(command, raw, folder, monkeypatch):
    words = ("replay", raw, "-o", folder / "out.h5", "-c", "zero_filled", "-G", "images", "--png", folder / "png")
    words += ("--report", folder / "out.html", "--overwrite")
    assert command(*words)[0] == 0
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    write = ImageFile.write

    def write_and_stop(file, image):
        write(file, image)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(ImageFile, "write", write_and_stop)
    code, _, err = command(*words)
    assert code == 128 + signal.SIGTERM
    assert err.splitlines()[-1].endswith(f"1 finished image was kept in {folder / 'out.partial.h5'}")
    assert {path: path.read_bytes() for path in before} == before
    new = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path not in before}
    assert new == {"out.partial.h5", "out.partial.html", "png.partial/series001_0001.png"}
    assert "not complete: SIGTERM" in (folder / "out.partial.html").read_text()


def test_a_stop_signal_before_the_first_image_leaves_nothing(command, raw, folder, one_line, monkeypatch):
    def stop(*_):
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(ImageFile, "write", stop)
    code, _, err = command("replay", raw, "-o", folder / "out.h5", "-c", "zero_filled", "--png", folder / "png")
    assert code == 128 + signal.SIGTERM
    assert one_line(err) == "nilatron: stopped by SIGTERM; unfinished files were removed"
    assert list(folder.iterdir()) == []


def test_a_report_shows_the_run(command, raw, folder, one_line):
    words = ("replay", raw, "-o", folder / "out.h5", "-c", "cg_sense", "--report", folder / "out.html")
    assert command(*words)[0] == 0
    page = (folder / "out.html").read_text()
    assert all(word in page for word in ("No warnings", "2 of 2", "slice 1", "data:image/png;base64,"))
    assert command(*words, "--overwrite")[0] == 0
    code, _, err = command(*words)
    assert (code, "out.html exists" in one_line(err)) == (2, True)


def test_a_report_of_a_fall_back_begins_with_it(command, raw, folder, monkeypatch):
    monkeypatch.setitem(methods.METHODS, "nila", replace(methods.METHODS["nila"], run=fail_on_second_slice()))
    assert command("replay", raw, "-o", folder / "out.h5", "--report", folder / "out.html")[0] == 3
    page = (folder / "out.html").read_text()
    assert page.index("the network exploded") < page.index("Montage")


def test_a_report_that_cannot_be_written_costs_no_image(command, raw, folder, one_line, monkeypatch):
    def full(*_):
        raise OutputError("out.html: No space left on device; nothing was written")

    monkeypatch.setattr("nilatron.pipelines.report.page.write_page", full)
    code, out, err = command("replay", raw, "-o", folder / "out.h5", "-c", "cg_sense", "--report", folder / "out.html")
    assert (code, out[:9]) == (3, "2 images ")
    assert "out.html: No space left" in one_line(err)


def test_a_full_noise_store_is_told(command, noise_alone, folder, one_line, tmp_path, monkeypatch):
    def full(*_):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("nilatron.pipelines.files.noise_store.save_file", full)
    words = ("-o", folder / "out.h5", "-c", "cg_sense", "--noise-store", tmp_path / "store")
    code, _, err = command("replay", noise_alone, *words)
    assert code == 3
    assert "the noise measurement 'noise_7' cannot be stored" in one_line(err)
    assert list((tmp_path / "store").iterdir()) == list(folder.iterdir()) == []


def test_a_crash_is_exit_code_3(command, raw, folder, monkeypatch, caplog):
    def crash(*_):
        raise LookupError("a bug")

    monkeypatch.setattr("nilatron.pipelines.files.images.ImageFile.write", crash)
    code, _, err = command("replay", raw, "-o", folder / "out.h5", "-c", "zero_filled")
    assert code == 3
    assert err.splitlines()[-1] == "nilatron: LookupError: a bug"
    assert "a bug" in caplog.text
    assert list(folder.iterdir()) == []


@pytest.mark.slow
def test_as_a_process_of_its_own(raw, folder, one_line):
    words = [sys.executable, "-m", "nilatron", "replay", raw, "-o", folder / "out.h5", "-c", "zero_filled"]
    sources = Path(cli.__file__).resolve().parents[2] / "src"
    environment = {**os.environ, "PYTHONPATH": str(sources)}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("2 images to ")
    done = subprocess.run([*words, "-g", "none"], env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 2
    assert "no group 'none'" in one_line(done.stderr)


@pytest.mark.slow
def test_weights_may_be_named(command, raw, folder):
    for name in ("default", "tiny"):
        code, _, err = command(
            "replay", raw, "-o", folder / "out.h5", "-G", name, "--weights", name, "--set", "steps=3"
        )
        assert (code, err) == (0, "")
    with ismrmrd.Dataset(folder / "out.h5", "default", mode="r") as file:
        default = file.read_image("image_1", 0)
    with ismrmrd.Dataset(folder / "out.h5", "tiny", mode="r") as file:
        tiny = file.read_image("image_1", 0)
    assert default.meta["nilatron_weights_sha256"] != tiny.meta["nilatron_weights_sha256"]
