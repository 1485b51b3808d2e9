import logging
import sys

import pytest

from nilatron.core.prior.engines.cache import NoCache
from nilatron.gadgets.engine_cache import FolderCache, entry_name, user_cache

KEY = {"weights": "ab", "shape": "1x2x3"}


@pytest.fixture
def cache(tmp_path):
    return FolderCache(tmp_path)


def test_what_was_kept_comes_back(cache):
    assert cache.read("onnx", KEY) is None
    cache.write("onnx", KEY, b"two\nlines")
    assert cache.read("onnx", KEY) == b"two\nlines"
    assert cache.read("onnx", KEY | {"shape": "1x2x4"}) is None
    assert cache.read("tensorrt", KEY) is None
    assert [path.name for path in cache.folder.iterdir()] == [entry_name("onnx", KEY)]


@pytest.mark.parametrize("at", [0, 63, 64, 70, -1])
def test_a_flipped_bit_is_as_good_as_absent(cache, caplog, at):
    cache.write("onnx", KEY, b"content")
    path = cache.folder / entry_name("onnx", KEY)
    damaged = bytearray(path.read_bytes())
    damaged[at] ^= 4
    path.write_bytes(damaged)
    assert cache.read("onnx", KEY) is None
    assert "damaged" in caplog.text


def test_cut_and_foreign_entries_are_as_good_as_absent(cache):
    cache.write("onnx", KEY, b"content")
    path = cache.folder / entry_name("onnx", KEY)
    whole = path.read_bytes()
    for n in range(len(whole)):
        path.write_bytes(whole[:n])
        assert cache.read("onnx", KEY) is None
    path.write_bytes(whole)
    path.rename(cache.folder / entry_name("onnx", {"other": "key"}))
    assert cache.read("onnx", {"other": "key"}) is None


def test_a_full_disk_is_no_error_and_leaves_nothing(cache, monkeypatch, caplog):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    cache.write("onnx", KEY, b"content")
    assert list(cache.folder.iterdir()) == []
    assert "No space left" in caplog.text


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_a_folder_that_others_may_write_is_not_used(monkeypatch, tmp_path, caplog):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert user_cache() == FolderCache(tmp_path / "nilatron")
    assert (tmp_path / "nilatron").stat().st_mode & 0o777 == 0o700
    (tmp_path / "nilatron").chmod(0o777)
    assert user_cache() == NoCache()
    assert "may be written by others" in caplog.text


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX folders")
def test_no_home_is_no_error(monkeypatch, tmp_path, caplog):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with caplog.at_level(logging.WARNING):
        assert user_cache() == NoCache()
    assert "no cache folder" in caplog.text
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_cache() == FolderCache(tmp_path / ".cache" / "nilatron")
