"""Noise in a folder, by measurement id, whatever the id."""

import os
import pickle
import shutil

import numpy as np
import pytest
from safetensors.numpy import save_file

from nilatron.gadgets.known_noise import NoiseCovariance, NoiseOrigin
from nilatron.pipelines.files import noise_store
from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.files.disk import OutputError
from nilatron.pipelines.files.noise_store import NoiseFolder

IDS = ("1", "66056_41_74_513", "../../x", "/etc/passwd", "a/b", "..", "", "x" * 5000, "a\0b", "ü", "\udc80", "CON", "*")


def noise_of(name, n_coils=3, names=("A", "B", "C"), ratio=0.6):
    rng = np.random.default_rng(len(name))
    root = rng.standard_normal((2, n_coils, n_coils))
    covariance = (root[0] + 1j * root[1]) @ (root[0] - 1j * root[1]).T
    return NoiseCovariance(covariance, 4000, 7.1, NoiseOrigin("noise scan", name, ratio), names)


@pytest.fixture
def store(tmp_path):
    return NoiseFolder(tmp_path / "folder" / "noise")


@pytest.mark.parametrize("ratio", [0.6, None])
@pytest.mark.parametrize("names", [("A", "B", "C"), ("ä", "", "B:1:2"), None])
def test_what_is_kept_comes_back(store, names, ratio):
    noise = noise_of("m", names=names, ratio=ratio)
    store.write(noise)
    found = store.read("m")
    np.testing.assert_array_equal(found.covariance, noise.covariance)
    assert found.covariance.dtype == np.complex128
    assert (found.n_samples, found.dwell_us, found.coil_names) == (4000, 7.1, names)
    assert found.origin == NoiseOrigin("store", "m", ratio)


def test_ids_are_not_mixed_up_and_never_name_another_path(store, tmp_path):
    ids = [name for name in IDS if name != "\udc80"]
    for name in ids:
        store.write(noise_of(name))
    assert sorted(tmp_path.rglob("*")) == sorted([tmp_path / "folder", store.folder, *store.folder.iterdir()])
    assert len(list(store.folder.iterdir())) == len(ids)
    for name in ids:
        np.testing.assert_array_equal(store.read(name).covariance, noise_of(name).covariance)
    for name in IDS:
        assert store.path_of(name).parent == store.folder
        assert store.path_of(name).name.replace("-", "").replace(".", "").isalnum()


def test_nothing_is_read_where_nothing_is_kept(store):
    assert store.read("1") is None
    store.write(noise_of("2"))
    assert store.read("1") is None


def test_a_later_measurement_takes_the_place_of_an_earlier_one(store):
    store.write(noise_of("m", names=None))
    store.write(noise_of("m"))
    assert store.read("m").coil_names == ("A", "B", "C")
    assert len(list(store.folder.iterdir())) == 1


def test_a_write_that_fails_leaves_what_was_there(store, monkeypatch):
    store.write(noise_of("m"))

    def half(_, path, __):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(noise_store, "save_file", half)
    with pytest.raises(OutputError, match="No space left"):
        store.write(noise_of("m", names=None))
    assert store.read("m").coil_names == ("A", "B", "C")
    assert len(list(store.folder.iterdir())) == 1


def saved(path, covariance, **changes):
    metadata = {
        "measurement_id": "m",
        "n_samples": "9",
        "dwell_us": "5",
        "bandwidth_ratio": "null",
        "coil_names": "null",
    }
    save_file({"covariance": covariance}, path, {**metadata, **changes})


class Bomb:
    def __reduce__(self):
        return (os.abort, ())


DAMAGE = {
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-5]),
    "pickle": lambda path: path.write_bytes(pickle.dumps(Bomb())),
    "not finite": lambda path: saved(path, np.full((2, 3, 3), np.nan)),
    "another shape": lambda path: saved(path, np.ones((2, 3, 2))),
    "a number": lambda path: saved(path, np.ones(())),
    "another id": lambda path: saved(path, np.ones((2, 3, 3)), measurement_id="n"),
    "too few names": lambda path: saved(path, np.ones((2, 3, 3)), coil_names='["A"]'),
    "names that are none": lambda path: saved(path, np.ones((2, 3, 3)), coil_names="3"),
    "no JSON": lambda path: saved(path, np.ones((2, 3, 3)), bandwidth_ratio="{"),
    "no number": lambda path: saved(path, np.ones((2, 3, 3)), n_samples="many"),
    "another tensor": lambda path: save_file({"x": np.ones(3)}, path),
    "of somebody else": lambda path: shutil.copy(path.parent / "other", path),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_damaged_is_as_good_as_absent(store, damage, caplog):
    store.write(noise_of("n"))
    store.path_of("n").rename(store.folder / "other")
    store.write(noise_of("m"))
    DAMAGE[damage](store.path_of("m"))
    assert store.read("m") is None
    assert "cannot be read" in caplog.text
    store.write(noise_of("m"))
    assert store.read("m") is not None


def test_the_oldest_entries_go_and_other_files_stay(store, monkeypatch):
    monkeypatch.setattr(noise_store, "MOST_ENTRIES", 3)
    store.folder.mkdir(parents=True)
    (store.folder / "notes.txt").write_text("kept")
    for number, name in enumerate("abcde"):
        store.write(noise_of(name))
        os.utime(store.path_of(name), (number, number))
    assert [name for name in "abcde" if store.read(name)] == ["c", "d", "e"]
    assert (store.folder / "notes.txt").read_text() == "kept"


def test_a_folder_that_cannot_be_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be a folder"):
        NoiseFolder(tmp_path / "file" / "noise").write(noise_of("m"))
    with pytest.raises(InputError, match="cannot be a folder"):
        NoiseFolder(tmp_path / "file").write(noise_of("m"))
