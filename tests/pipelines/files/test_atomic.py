import pytest

from nilatron.pipelines.files.atomic import AtomicFolder, InputError, atomic_path
from nilatron.pipelines.files.disk import OutputError
from nilatron.pipelines.files.hdf5.reader import open_hdf5


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


def write_into(folder, *names, **options):
    with AtomicFolder(folder, own=("series*",), **options) as output:
        for name in names:
            (output.temporary / name).write_text("new")


def test_files_of_two_runs_are_not_mixed(tmp_path):
    folder = tmp_path / "out"
    write_into(folder, "series1", "series2")
    (folder / "notes").write_text("mine")
    with pytest.raises(InputError, match=r"holds files of an earlier run \(2, such as series1\).*--overwrite"):
        write_into(folder, "series1")
    (folder / "series1").write_text("old")
    write_into(folder, "series1", "series3", overwrite=True)
    assert {path.name: path.read_text() for path in folder.iterdir()} == {
        "series1": "new",
        "series3": "new",
        "notes": "mine",
    }
    assert list(tmp_path.iterdir()) == [folder]


def test_a_full_disk_is_told_by_the_name_of_the_file_or_folder(tmp_path, small_disk):
    def write_file():
        with atomic_path(tmp_path / "a.bin") as temporary:
            temporary.write_bytes(bytes(10_000))

    def write_folder():
        with AtomicFolder(tmp_path / "out") as folder:
            (folder.temporary / "a").write_bytes(bytes(10_000))

    for name, write in (("a.bin", write_file), ("out", write_folder)):
        with small_disk(100), pytest.raises(OutputError, match=rf"/{name}: File too large; nothing was written$"):
            write()
    assert list(tmp_path.iterdir()) == []


def test_errors_of_other_files_stay_theirs(tmp_path):
    def fail():
        with atomic_path(tmp_path / "file"):
            raise PermissionError(13, "may not be read", "/elsewhere")

    with pytest.raises(PermissionError):
        fail()


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(InputError, match="out is not a folder"):
        AtomicFolder(tmp_path / "out")
