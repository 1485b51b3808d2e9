import numpy as np
import pytest

from nilatron.gadgets.items import ScanLog
from nilatron.pipelines.archive import folder as folder_module
from nilatron.pipelines.archive.folder import DicomFolder, DicomSettings
from nilatron.pipelines.archive.identity import RunIdentity
from nilatron.pipelines.files.atomic import InputError


def three(image):
    return [image(slice=i, at_mm=5.0 * i, series=series) for i in (0, 2, 1) for series in (1, 101)]


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.folder.iterdir()}


def test_names_follow_series_and_instance(write, image):
    folder, _ = write(*three(image))
    names = [f"series{series:03d}_{n:04d}.dcm" for series in (1, 101) for n in (1, 2, 3)] + ["series151_map0001.dcm"]
    assert sorted(contents(folder)) == names
    assert [path.name for path in folder.files] == names


@pytest.mark.slow
def test_the_same_run_gives_the_same_bytes_in_any_order_of_arrival(write, image):
    first = contents(write(*three(image))[0])
    again = contents(write(*reversed(three(image)))[0])
    assert first == again


OTHERS = {"raw data": {"raw": "other"}, "seed": {"facts": {"seed": "1"}}, "chain": {"facts": {"chain": "d"}}}


@pytest.mark.slow
@pytest.mark.parametrize("other", [*OTHERS, "pixels of one image"])
def test_another_run_shares_no_image_no_series_and_no_map(datasets, image, other):
    images = three(image)
    first = datasets(*images)
    if other not in OTHERS:
        for each in images[:2]:
            each.data[0, 0, 0, 0] += 1
    second = datasets(*images, **OTHERS.get(other, {}))
    assert len({data.SOPInstanceUID for data in first + second}) == 2 * len(first) == 14
    assert len({data.SeriesInstanceUID for data in first + second}) == 6
    assert len({data.SeriesInstanceUID for data in first}) == 3


def test_raw_files_without_a_study_share_none(datasets, image, bare_header):
    found = [datasets(image(), header=bare_header, raw=raw)[0] for raw in ("a", "b")]
    assert len({data.StudyInstanceUID for data in found}) == 2


def test_images_that_dicom_cannot_hold_are_told_and_cost_no_other(write, image):
    wrong = image(slice=1)
    wrong.read_dir[:] = (0, 0, 0)
    folder, scan = write(image(), wrong)
    assert len(contents(folder)) == 1
    assert scan.problems == [f"{folder.folder}: 1 image could not be written: {folder.refused[0]}"]
    assert "directions of length 1 at right angles" in scan.problems[0]


def test_slices_that_lie_on_each_other_are_told(write, image):
    folder, scan = write(*(image(slice=n, at_mm=5.0) for n in (0, 1, 2)), image(slice=3, at_mm=10.0))
    assert len(contents(folder)) == 4
    (problem,) = scan.problems
    assert "2 slices of series 1 lie where another one does" in problem


@pytest.mark.parametrize(("at_mm", "is_told"), [(5.0, True), (12.0, False), (20.0, False)])
def test_slices_much_thicker_than_their_distance_are_told(write, image, caplog, at_mm, is_told):
    images = [image(slice=n, at_mm=at_mm * n) for n in range(3)]
    for each in images:
        each.field_of_view[2] = 15.0
    _, scan = write(*images)
    assert ("are 15 mm thick and lie 5 mm apart" in caplog.text) == is_told
    assert scan.problems == []


def test_a_slice_at_several_times_lies_where_it_lies(write, image):
    _, scan = write(*(image(slice=n, at_mm=5.0 * n, repetition=r) for n in (0, 1) for r in (0, 1)))
    assert scan.problems == []


def test_a_run_without_images_leaves_an_empty_folder(write):
    folder, scan = write()
    assert (contents(folder), folder.files, scan.problems) == ({}, [], [])


def test_an_error_leaves_nothing(tmp_path, header, image):
    pytest.importorskip("highdicom")

    def run():
        with DicomFolder.of_run(tmp_path / "dicom", header, RunIdentity("raw", {}), DicomSettings()) as folder:
            folder.write(image())
            folder.finish(ScanLog())
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        run()
    assert list(tmp_path.iterdir()) == []


def test_pixels_wait_in_files(tmp_path, header, image):
    pytest.importorskip("highdicom")
    with DicomFolder.of_run(tmp_path / "dicom", header, RunIdentity("raw", {}), DicomSettings()) as folder:
        folder.write(image(pixels=np.ones((1, 20, 30), np.float32)))
        assert [path.suffix for path in folder.waiting.iterdir()] == [".npy"]
        folder.finish(ScanLog())
    assert [path.name for path in (tmp_path / "dicom").iterdir()] == ["series001_0001.dcm"]


def test_without_its_packages_the_answer_comes_before_the_images(monkeypatch, tmp_path, header):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"DICOM output needs pydicom and highdicom: pip install 'nilatron\[dicom\]'"):
        DicomFolder.of_run(tmp_path / "dicom", header, RunIdentity("raw", {}), DicomSettings())


def test_a_full_disk_costs_files_and_leaves_no_half_one(write, image, monkeypatch):
    whole, n_written = folder_module.written, []

    def full(data, path):
        if n_written:
            path.write_bytes(b"half")
            raise OSError(28, "No space left on device")
        n_written.append(path)
        whole(data, path)

    monkeypatch.setattr(folder_module, "written", full)
    folder, scan = write(*(image(slice=index, image_index=index + 1, at_mm=5.0 * index) for index in range(3)))
    assert list(folder.folder.iterdir()) == folder.files
    assert len(folder.files) == 1
    assert scan.problems == [f"{folder.folder}: 2 images could not be written: No space left on device"]
