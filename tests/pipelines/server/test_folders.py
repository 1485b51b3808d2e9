import fcntl
import os
import tempfile
from pathlib import Path

import pytest

from nilatron.pipelines.server.folders import LOCK, PREFIX, sweep, temporary_folder


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def left_by(folder, *, locked):
    folder.mkdir()
    (folder / "socket").touch()
    (folder / LOCK).touch()
    file = (folder / LOCK).open()
    if locked:
        fcntl.flock(file, fcntl.LOCK_EX)
    return file


def test_everything_temporary_is_inside_and_goes_with_it(temporary):
    with temporary_folder() as folder:
        assert folder.parent == temporary
        assert tempfile.gettempdir() == os.environ["TMPDIR"] == str(folder)
        Path(tempfile.mkdtemp()).joinpath("left").touch()
    assert tempfile.gettempdir() == str(temporary)
    assert os.environ.get("TMPDIR") != str(folder)
    assert not folder.exists()


def test_folders_of_killed_servers_go_and_those_of_running_ones_stay(temporary):
    with (
        left_by(temporary / f"{PREFIX}dead", locked=False),
        left_by(temporary / f"{PREFIX}alive", locked=True),
        left_by(temporary / "other", locked=False),
    ):
        (temporary / f"{PREFIX}young").mkdir()
        sweep()
        assert {path.name for path in temporary.iterdir()} == {f"{PREFIX}alive", f"{PREFIX}young", "other"}


def test_an_old_folder_without_a_lock_goes(temporary):
    old = temporary / f"{PREFIX}old"
    old.mkdir()
    os.utime(old, (0, 0))
    sweep()
    assert not old.exists()


def test_a_link_is_not_followed(temporary, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / LOCK).touch()
    (temporary / f"{PREFIX}link").symlink_to(elsewhere)
    sweep()
    assert (elsewhere / LOCK).exists()
