"""Pictures and DICOM files beside the images."""

from dataclasses import replace
from pathlib import Path

import h5py
import ismrmrd
import numpy as np
import pytest
from PIL import Image as Picture

from nilatron.pipelines.simulation.simulate import SimulationSettings, simulate

SCAN = SimulationSettings(
    matrix=(32, 28, 1), n_coils=3, n_slices=3, acceleration=2, calibration_lines=12, noise_std=0.03
)


def metadata(path, series=1, number=0):
    with h5py.File(path) as file:
        return ismrmrd.Meta.deserialize(file[f"images/image_{series}/attributes"][number].decode())


def test_pictures_are_those_of_the_images(replayed, tmp_path):
    _, images = replayed(SCAN, png=tmp_path / "png")
    names = sorted(path.name for path in (tmp_path / "png").iterdir())
    assert names == ["series001_0001.png", "series001_0002.png", "series001_0003.png"]
    with Picture.open(tmp_path / "png" / names[1]) as picture:
        grey = np.asarray(picture)
    magnitude = images[1, 1, 0, 0][0]  # the third to come: slices are interleaved
    expected = np.clip(np.rint(magnitude * 255 / np.percentile(magnitude, 99.5)), 0, 255)
    np.testing.assert_array_equal(grey, expected)


def test_dicom_files_beside_the_images(replayed, tmp_path):
    pytest.importorskip("highdicom")
    import pydicom

    replayed(SCAN, chain="cg_sense", dicom=tmp_path / "dicom")
    files = sorted((tmp_path / "dicom").iterdir())
    assert len(files) == SCAN.n_slices
    assert len({pydicom.dcmread(path).SOPInstanceUID for path in files}) == SCAN.n_slices
    assert len({pydicom.dcmread(path).SeriesInstanceUID for path in files}) == 1


OTHER_RUNS = {
    "the same": {},
    "another chain": {"chain": "cg_sense"},
    "another seed": {"seed": 1},
    "another property": {"properties": {"image_scale": "2"}},
    "other weights": {"weights": Path(__file__)},
    "other raw data, the same header": {"settings": replace(SCAN, seed=1)},
    "another file with noise": {"noise": True},
}


@pytest.mark.slow
def test_two_runs_share_no_identifier_and_the_same_run_has_its_own(replayed, tmp_path):
    pytest.importorskip("highdicom")
    import pydicom

    found = {}
    for name, how in OTHER_RUNS.items():
        simulate(tmp_path / "noise.h5", replace(SCAN, seed=2), overwrite=True)
        options = {"chain": "zero_filled", "settings": SCAN, "dicom": tmp_path / name} | how
        if options.pop("noise", False):
            options["noise"] = tmp_path / "noise.h5"
        replayed(**options)
        found[name] = list(map(pydicom.dcmread, sorted((tmp_path / name).iterdir())))
    replayed(SCAN, "zero_filled", dicom=tmp_path / "again")
    again = {path.name: path.read_bytes() for path in (tmp_path / "again").iterdir()}
    assert again == {path.name: path.read_bytes() for path in (tmp_path / "the same").iterdir()}
    images = [data.SOPInstanceUID for run in found.values() for data in run]
    assert len(set(images)) == len(images) == 3 * len(OTHER_RUNS)
    assert len({data.SeriesInstanceUID for run in found.values() for data in run}) == len(OTHER_RUNS)
    studies = {name: {data.StudyInstanceUID for data in run} for name, run in found.items()}
    assert studies["another chain"] == studies["the same"] != studies["other raw data, the same header"]


def test_dicom_files_are_numbered_by_place_and_images_by_slice_though_slices_are_interleaved(replayed, tmp_path):
    pytest.importorskip("highdicom")
    import pydicom

    replayed(replace(SCAN, n_slices=5), "zero_filled", dicom=tmp_path / "dicom")
    with h5py.File(tmp_path / "out.h5") as file:
        heads = file["images/image_1/header"][:]
    assert heads["slice"].tolist() == [0, 2, 4, 1, 3]
    assert heads["image_index"].tolist() == [1, 3, 5, 2, 4]
    stack = [pydicom.dcmread(path) for path in sorted((tmp_path / "dicom").iterdir())]
    assert [data.InstanceNumber for data in stack] == [1, 2, 3, 4, 5]
    steps = np.diff([float(data.SliceLocation) for data in stack])
    assert steps == pytest.approx(float(stack[0].SpacingBetweenSlices))


def test_images_that_dicom_cannot_hold_are_told_and_kept(replayed, tmp_path):
    """Here one slice of three has no read direction."""
    pytest.importorskip("highdicom")

    def spoil(path):
        with h5py.File(path, "r+") as file:
            rows = file["dataset/data"][:]
            rows["head"]["read_dir"][rows["head"]["idx"]["slice"] == 1] = 0
            file["dataset/data"][:] = rows

    report, images = replayed(SCAN, chain="zero_filled", edit=spoil, dicom=tmp_path / "dicom")
    assert len(images) == 3
    assert len(list((tmp_path / "dicom").iterdir())) == 2
    assert not report.complete
    (problem,) = (text for text in report.log.problems if "DICOM" in text)
    assert problem.startswith(f"{tmp_path / 'dicom'}: 1 image could not be written: DICOM needs directions of length 1")
    assert "read_dir (0, 0, 0)" in problem
