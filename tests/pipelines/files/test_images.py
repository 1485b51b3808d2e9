import errno
import logging
import os
import signal

import h5py
import ismrmrd
import numpy as np
import pytest
from PIL import Image as Picture

from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.files.disk import OutputError
from nilatron.pipelines.files.images import ImageFile, white_of, write_png
from nilatron.pipelines.files.interrupts import StopSignalError, stoppable
from nilatron.pipelines.files.raw import open_raw
from nilatron.pipelines.files.reserved import ReservedFile


def read(path, group="dataset"):
    with open_raw(path, group) as raw:
        return list(raw.items())


def image(pixels, series=1, index=1, **meta):
    made = ismrmrd.Image.from_array(np.asarray(pixels), transpose=False)
    made.image_series_index, made.image_index, made.slice = series, index, index
    made.meta = {"ImageComment": "Prüfbild", **meta}
    return made


def stock_images(path, group, name):
    with ismrmrd.Dataset(path, group, mode="r") as dataset:
        return [dataset.read_image(name, number) for number in range(dataset.number_of_images(name))]


@pytest.mark.parametrize("dtype", [np.float32, np.complex64, np.uint16, np.int16, np.float64])
def test_images_come_back_through_the_stock_library(tmp_path, dtype):
    rng = np.random.default_rng(0)
    pixels = [(100 * rng.random((1, 3, 5, 4))).astype(dtype) for _ in range(3)]
    if np.dtype(dtype).kind == "c":
        pixels = [(1 - 2j) * p for p in pixels]
    written = [image(p.astype(dtype), index=i + 1) for i, p in enumerate(pixels)]
    with ImageFile(tmp_path / "out.h5", "recon") as file:
        for one in written:
            file.write(one)
    found = stock_images(tmp_path / "out.h5", "recon", "image_1")
    for one, other in zip(found, written, strict=True):
        assert bytes(one.getHead()) == bytes(other.getHead())
        assert one.meta == other.meta
        np.testing.assert_array_equal(one.data, other.data)
    with h5py.File(tmp_path / "out.h5") as file:
        assert set(file["recon/image_1"]) == {"data", "header", "attributes"}
        assert file["recon/image_1/data"].shape == (3, 1, 3, 5, 4)


def test_series_and_differing_images_get_groups_of_their_own(tmp_path, caplog):
    small, large = np.ones((1, 1, 4, 4), np.float32), np.ones((1, 1, 6, 4), np.float32)
    with caplog.at_level(logging.WARNING), ImageFile(tmp_path / "out.h5", "recon") as file:
        for pixels, series in ((small, 1), (small, 2), (large, 1), (small, 1), (large, 1), (small.astype("u2"), 1)):
            file.write(image(pixels, series))
        assert file.n_images == 6
    with h5py.File(tmp_path / "out.h5") as stored:
        counts = {name: len(group["data"]) for name, group in stored["recon"].items()}
    assert counts == {"image_1": 2, "image_2": 1, "image_1_2": 2, "image_1_3": 1}
    assert "a new group image_1_2" in caplog.text


class PlannedError(Exception):
    pass


def write_and_fail(path, **options):
    with ImageFile(path, "recon", **options) as file:
        file.write(image(np.ones((1, 1, 4, 4), np.float32)))
        raise PlannedError


def test_nothing_is_seen_before_the_end_and_nothing_stays_after_a_failure(tmp_path):
    path = tmp_path / "out.h5"
    with ImageFile(path, "recon") as file:
        file.write(image(np.ones((1, 1, 4, 4), np.float32)))
        assert not path.exists()
    assert list(tmp_path.iterdir()) == [path]
    path.unlink()
    with pytest.raises(PlannedError):
        write_and_fail(path)
    assert list(tmp_path.iterdir()) == []


def test_failure_leaves_an_older_file_untouched(raw_path):
    before = raw_path.read_bytes()
    with pytest.raises(PlannedError):
        write_and_fail(raw_path)
    assert raw_path.read_bytes() == before
    assert list(raw_path.parent.iterdir()) == [raw_path]


def test_other_groups_are_kept(raw_path):
    lines = read(raw_path)
    with ImageFile(raw_path, "recon") as file:
        file.write(image(np.ones((1, 1, 4, 4), np.float32)))
    kept = read(raw_path)
    assert [bytes(a.getHead()) for a in kept] == [bytes(a.getHead()) for a in lines]
    assert len(stock_images(raw_path, "recon", "image_1")) == 1


def test_existing_group_is_refused_or_replaced(tmp_path):
    path = tmp_path / "out.h5"
    for group in ("recon", "other"):
        with ImageFile(path, group) as file:
            file.write(image(np.ones((1, 1, 4, 4), np.float32)))
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"group 'recon' exists.*--overwrite"), ImageFile(path, "recon"):
        pytest.fail("the group was opened")
    assert path.read_bytes() == before
    with ImageFile(path, "recon", overwrite=True) as file:
        file.write(image(np.full((1, 1, 4, 4), 2, np.float32)))
    (found,) = stock_images(path, "recon", "image_1")
    assert found.data.max() == 2
    with h5py.File(path) as stored:
        assert list(stored) == ["recon"]
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_there_does_not_replace_a_whole_file(tmp_path):
    path = tmp_path / "out.h5"
    for overwrite in (False, True):
        with ImageFile(path, "recon", overwrite=overwrite) as file:
            file.write(image(np.full((1, 1, 4, 4), 1 + overwrite, np.float32)))
            if overwrite:
                file.keep_what_is_there()
    assert (file.written, sorted(tmp_path.iterdir())) == (tmp_path / "out.partial.h5", [path, file.written])
    assert [stock_images(one, "recon", "image_1")[0].data.max() for one in (path, file.written)] == [1, 2]


def test_a_full_disk_leaves_the_images_that_fitted(tmp_path, small_disk):
    pixels = np.arange(90_000, dtype=np.float32).reshape(1, 1, 300, 300)
    path = tmp_path / "out.h5"
    with small_disk(1_000_000), ImageFile(path, "recon") as file:
        for index in range(2):
            file.write(image(pixels + index, index=index + 1))
        with pytest.raises(OutputError, match=r"out\.h5: .* after 2 images"):
            file.write(image(pixels))
        file.keep_what_is_there()
    found = stock_images(path, "recon", "image_1")
    assert [one.data.max() for one in found] == [89_999, 90_000]
    assert file.n_images == 2
    assert list(tmp_path.iterdir()) == [path]


def test_a_disk_that_is_full_from_the_start_leaves_nothing(tmp_path, small_disk):
    with small_disk(1000), pytest.raises(OutputError, match="after 0 images"), ImageFile(tmp_path / "out.h5", "recon"):
        pytest.fail("the file was opened")
    assert list(tmp_path.iterdir()) == []


def test_an_image_that_is_written_when_a_stop_signal_comes_is_counted(tmp_path, monkeypatch):
    path, reserve = tmp_path / "out.h5", ReservedFile.reserve

    def stop(file, n_bytes):
        reserve(file, n_bytes)
        os.kill(os.getpid(), signal.SIGTERM)

    with stoppable(), ImageFile(path, "recon") as file:
        monkeypatch.setattr(ReservedFile, "reserve", stop)
        with pytest.raises(StopSignalError):
            file.write(image(np.ones((1, 1, 4, 4), np.float32)))
        assert file.n_images == 1
    assert len(stock_images(path, "recon", "image_1")) == 1


def test_a_disk_that_fails_under_an_image_leaves_nothing(tmp_path, monkeypatch):
    """Here the room is there, but not what was promised of it."""

    def fail(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    def write():
        with ImageFile(tmp_path / "out.h5", "recon") as file:
            file.write(image(np.ones((1, 1, 4, 4), np.float32)))
            monkeypatch.setattr("nilatron.pipelines.files.reserved.os.write", fail)
            with pytest.raises(OutputError, match="Input/output error"):
                file.write(image(np.ones((1, 1, 4, 4), np.float32)))
            file.keep_what_is_there()

    with pytest.raises(OutputError, match="nothing was written"):
        write()
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []


def test_raw_data_are_never_replaced(raw_path):
    before = raw_path.read_bytes()
    for group in ("dataset", "recon"):
        with (
            pytest.raises(InputError, match="group 'dataset' holds raw data"),
            ImageFile(raw_path, group, overwrite=True),
        ):
            pytest.fail("the group was opened")
    assert raw_path.read_bytes() == before


def test_target_that_is_not_hdf5_is_refused(tmp_path):
    path = tmp_path / "thesis.tex"
    path.write_text("precious")
    with pytest.raises(InputError, match="not an HDF5 file"), ImageFile(path, "recon", overwrite=True):
        pytest.fail("the file was opened")
    assert path.read_text() == "precious"


def test_target_without_a_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="does not exist"), ImageFile(tmp_path / "no" / "out.h5", "recon"):
        pytest.fail("the file was opened")


@pytest.mark.parametrize("group", ["", "/", "a/b"])
def test_group_must_be_one_name(tmp_path, group):
    with pytest.raises(InputError, match="one name"):
        ImageFile(tmp_path / "out.h5", group)


def test_png_window_and_orientation(tmp_path):
    pixels = np.linspace(0, 1, 1000, dtype=np.float32).reshape(25, 40) * np.exp(1j)
    write_png(pixels, tmp_path / "a.png")
    with Picture.open(tmp_path / "a.png") as picture:
        assert picture.mode == "L"
        grey = np.asarray(picture)
    assert grey.shape == (25, 40)
    white = np.percentile(np.abs(pixels), 99.5)
    np.testing.assert_array_equal(grey, np.clip(np.rint(np.abs(pixels) / white * 255), 0, 255))


def test_png_of_a_volume_is_a_mosaic(tmp_path):
    volume = np.arange(1, 6, dtype=np.float32)[:, None, None] * np.ones((1, 4, 6), np.float32)
    write_png(image(volume[None]), tmp_path / "a.png")
    with Picture.open(tmp_path / "a.png") as picture:
        grey = np.asarray(picture)
    assert grey.shape == (2 * 4, 3 * 6)
    np.testing.assert_array_equal(grey[::4, ::6], [[51, 102, 153], [204, 255, 0]])


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_png_of_nothing_is_black(tmp_path, value):
    write_png(np.full((4, 4), value), tmp_path / "a.png")
    with Picture.open(tmp_path / "a.png") as picture:
        assert not np.asarray(picture).any()


def test_png_of_no_image(tmp_path):
    with pytest.raises(ValueError, match="shape"):
        write_png(np.zeros(4), tmp_path / "a.png")


def test_white_of_nothing_is_something():
    assert white_of(np.zeros((4, 4), np.float32)) == 1.0
