import pytest

from nilatron.pipelines.files.atomic import AtomicFolder, InputError, atomic_path, open_hdf5


class PlannedError(Exception):
    pass


def test_atomic_path_replaces_only_on_success(tmp_path):
    target = tmp_path / "file"
    target.write_text("old")

    def fail():
        with atomic_path(target) as temporary:
            temporary.write_text("half")
            raise PlannedError

    with pytest.raises(PlannedError):
        fail()
    assert target.read_text() == "old"
    with atomic_path(target) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def test_no_folder_for_the_file(tmp_path):
    with pytest.raises(InputError, match="does not exist"), atomic_path(tmp_path / "no" / "file"):
        pytest.fail("a path was given")


def test_hdf5_files_only(tmp_path):
    (tmp_path / "a.h5").write_text("text")
    with pytest.raises(InputError, match=r"a\.h5: is not an HDF5 file"):
        open_hdf5(tmp_path / "a.h5")


def test_a_folder_of_files_appears_whole_or_not_at_all(tmp_path):
    def fill(fails):
        with AtomicFolder(tmp_path / "new" / "out") as folder:
            (folder.temporary / "a").write_text("a")
            assert not (tmp_path / "new" / "out").exists()
            if fails:
                raise PlannedError

    with pytest.raises(PlannedError):
        fill(fails=True)
    assert list((tmp_path / "new").iterdir()) == []
    fill(fails=False)
    assert [path.name for path in (tmp_path / "new" / "out").iterdir()] == ["a"]
    assert list((tmp_path / "new").iterdir()) == [tmp_path / "new" / "out"]


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(InputError, match="out is not a folder"):
        AtomicFolder(tmp_path / "out")
