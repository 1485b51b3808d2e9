"""HDF5 files on a disk that fills up: the error comes, whole and once, and the process lives."""

import errno
import os

import h5py
import numpy as np
import pytest

from nilatron.pipelines.files.careful import CarefulFile, NewHdf5


def fill_at(monkeypatch, n_bytes):
    """A disk that takes so many bytes, the last write in part."""
    left, write = [n_bytes], os.write

    def refusing(descriptor, content):
        taken = min(left[0], len(content))
        if not taken:
            raise OSError(errno.ENOSPC, "No space left on device")
        left[0] -= taken
        return write(descriptor, content[:taken])

    monkeypatch.setattr("nilatron.pipelines.files.careful.os.write", refusing)


def fill(file):
    texts = file.create_dataset("texts", (0,), h5py.string_dtype(), maxshape=(None,), chunks=(4,))
    numbers = file.create_dataset("numbers", (0, 100), np.float32, maxshape=(None, 100), chunks=(1, 100))
    for n in range(200):
        texts.resize(n + 1, axis=0)
        numbers.resize(n + 1, axis=0)
        texts[n], numbers[n] = f"text {n}" * 20, n


def test_a_file_that_fits_is_an_hdf5_file_like_others(tmp_path):
    with NewHdf5(tmp_path / "new.h5") as new:
        fill(new.file)
        new.check()
    with h5py.File(tmp_path / "new.h5") as file:
        assert np.array_equal(file["numbers"][:, 0], np.arange(200))
        assert file["texts"][199].decode() == "text 199" * 20


@pytest.mark.parametrize("n_bytes", [0, 100, 5_000, 40_000, 100_000])
def test_a_disk_that_fills_up_is_one_error(tmp_path, monkeypatch, n_bytes):
    fill_at(monkeypatch, n_bytes)
    with pytest.raises(OSError, match="No space left on device"), NewHdf5(tmp_path / "new.h5") as new:
        fill(new.file)
    assert not new.file  # closed in peace


def test_another_error_goes_first(tmp_path, monkeypatch):
    fill_at(monkeypatch, 0)
    with pytest.raises(KeyError), NewHdf5(tmp_path / "new.h5"):
        raise KeyError("own")


def test_a_file_that_exists_is_not_replaced(tmp_path):
    (tmp_path / "old.h5").write_bytes(b"old")
    with pytest.raises(FileExistsError), NewHdf5(tmp_path / "old.h5"):
        pass
    assert (tmp_path / "old.h5").read_bytes() == b"old"


@pytest.mark.parametrize("n_bytes", [0, 7, 20, 1000])
def test_what_is_read_is_what_was_written(tmp_path, monkeypatch, n_bytes):
    fill_at(monkeypatch, n_bytes)
    expected, rng = bytearray(100), np.random.default_rng(n_bytes)
    with CarefulFile(tmp_path / "file") as file:
        for _ in range(40):
            place, content = int(rng.integers(90)), bytes(rng.integers(1, 255, 10, dtype=np.uint8))
            file.seek(place)
            assert file.write(content) == 10
            expected[place : place + 10] = content
        file.seek(0)
        found = bytearray(100)
        file.readinto(found)
        assert found == expected
        assert file.seek(0, os.SEEK_END) <= 100
        assert (file.error is None) == (n_bytes == 1000)
