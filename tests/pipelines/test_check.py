from dataclasses import replace

import h5py
import ismrmrd
import numpy as np
import pytest

from nilatron.pipelines.check import check_file
from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.simulation.simulate import SimulationSettings, simulate

SETTINGS = SimulationSettings(matrix=(24, 20, 1), n_coils=3, noise_lines=4, acceleration=2, calibration_lines=8)


@pytest.fixture
def checked(tmp_path):
    """Simulate a scan, spoil the table of its lines, and check the file."""

    def run(settings=SETTINGS, spoil=lambda rows: rows):
        path = tmp_path / "raw.h5"
        simulate(path, settings, overwrite=True)
        with h5py.File(path, "r+") as file:
            rows = spoil(file["dataset/data"][()])
            del file["dataset/data"]
            file["dataset"].create_dataset("data", data=rows)
        return check_file(path)

    return run


def test_a_sound_file(checked):
    report = checked()
    assert report.contradictions == ()
    assert report.unusable == ""
    assert any("4 lines: noise; 3 channels" in one for one in report.holds)
    assert any("1 images of 14 lines, 1.4-fold undersampled" in one for one in report.plan)
    assert any("calibration by 8 lines of the image itself" in one for one in report.plan)
    assert "noise: of 4 noise lines" in report.plan
    assert report.left_out == ()


def test_values_that_are_not_finite_are_found_without_reconstructing(checked):
    def spoil(rows):
        rows["data"][7][3] = np.nan
        return rows

    assert "1 lines have values that are not finite, the first is line 7" in checked(spoil=spoil).contradictions


def test_a_centre_that_the_data_contradict(checked):
    def spoil(rows):
        rows["head"]["idx"]["kspace_encode_step_1"] = (rows["head"]["idx"]["kspace_encode_step_1"] + 5) % 20
        return rows

    found = checked(replace(SETTINGS, acceleration=1), spoil).contradictions
    assert any(
        "the strongest line has kspace_encode_step_1 = 15, the centre of encodingLimits is 10" in s for s in found
    )


def test_what_no_image_needs_is_named(checked):
    report = checked(replace(SETTINGS, extra_lines=("navigation",)))
    assert any("navigation" in one for one in report.left_out)


def test_a_file_without_images_cannot_be_reconstructed(checked):
    noise = 1 << (ismrmrd.ACQ_IS_NOISE_MEASUREMENT - 1)
    report = checked(spoil=lambda rows: rows[(rows["head"]["flags"] & noise) > 0])
    assert "no line of an image" in report.unusable


def test_a_file_that_is_none(tmp_path):
    (tmp_path / "raw.h5").write_bytes(b"nothing")
    with pytest.raises(InputError):
        check_file(tmp_path / "raw.h5")
