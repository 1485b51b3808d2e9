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

    def run(settings=SETTINGS, spoil=lambda rows: rows, trajectory="cartesian"):
        path = tmp_path / "raw.h5"
        simulate(path, settings, overwrite=True)
        with h5py.File(path, "r+") as file:
            rows = spoil(file["dataset/data"][()])
            del file["dataset/data"]
            file["dataset"].create_dataset("data", data=rows)
            xml = file["dataset/xml"][0].decode()
            file["dataset/xml"][0] = xml.replace(">cartesian<", f">{trajectory}<").encode()
        return check_file(path)

    return run


def test_a_sound_file(checked):
    report = checked()
    assert report.contradictions == ()
    assert report.unusable == ""
    assert any("4 lines: noise; 3 channels" in one for one in report.holds)
    assert any("1 image of 14 lines, 1.4-fold undersampled" in one for one in report.plan)
    assert any("calibration by 8 lines of the image itself" in one for one in report.plan)
    assert "noise: of 4 noise lines" in report.plan
    assert report.left_out == ()


@pytest.fixture
def described(tmp_path):
    """Check a simulated file whose header says something more."""

    def run(statement, before):
        path = tmp_path / "raw.h5"
        simulate(path, SETTINGS, overwrite=True)
        with h5py.File(path, "r+") as file:
            xml = file["dataset/xml"][0].decode()
            assert before in xml
            file["dataset/xml"][0] = xml.replace(before, statement + before, 1).encode()
        return check_file(path)

    return run


def test_ramp_sampling_is_part_of_the_plan_or_names_what_is_wrong(described):
    def description(**numbers):
        entries = "".join(
            f"<userParameterLong><name>{name}</name><value>{value}</value></userParameterLong>"
            for name, value in numbers.items()
        )
        return f"<trajectoryDescription><identifier>ConventionalEPI</identifier>{entries}</trajectoryDescription>"

    whole = {"rampUpTime": 60, "rampDownTime": 60, "flatTopTime": 480, "dwellTime": 10}
    report = described(description(**whole), "<parallelImaging>")
    assert any("samples on the gradient's ramps are regridded, 1." in one for one in report.plan)
    report = described(description(**whole, numSamples=50), "<parallelImaging>")
    assert "numSamples says 50" in report.unusable


def test_navigators_of_echo_planar_lines_are_not_left_out(checked):
    scan = replace(SETTINGS, extra_lines=("phase_correction",))
    report = checked(scan)
    (left_out,) = report.left_out
    n_lines = int(left_out.split()[0])
    assert left_out == f"{n_lines} lines: phase correction"
    report = checked(scan, trajectory="epi")
    assert report.left_out == ()
    assert f"encoding 0: lines read backwards are corrected by {n_lines} navigators" in report.plan


def test_what_is_not_modelled_makes_a_file_unusable(described):
    factor = "<userParameterLong><name>MultiBandFactor</name><value>2</value></userParameterLong>"
    report = described(f"<userParameters>{factor}</userParameters>", "</ismrmrdHeader>")
    assert "userParameters says MultiBandFactor = 2" in report.unusable


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


def test_what_is_weighed_is_said_and_counts_for_the_plan(checked, tmp_path):
    checked()
    with h5py.File(tmp_path / "raw.h5", "r+") as file:
        file["dataset/xml"][0] = file["dataset/xml"][0].replace(b"<z>1</z>", b"<z>4</z>")
    report = check_file(tmp_path / "raw.h5")
    assert any(
        "the matrix has z = 4, limits and lines have one partition: taken as slices" in one
        for one in report.contradictions
    )
    assert any("1.4-fold undersampled" in one for one in report.plan)


@pytest.mark.parametrize("kind", ["Noise", "SenMap"])
def test_a_noise_measurement_that_the_scan_depends_on_is_named(described, tmp_path, kind):
    named = f"<dependencyType>{kind}</dependencyType><measurementID>77</measurementID>"
    described(f"<measurementDependency>{named}</measurementDependency>", "</measurementInformation>")
    with h5py.File(tmp_path / "raw.h5", "r+") as file:
        rows = file["dataset/data"][4:]
        del file["dataset/data"]
        file["dataset"].create_dataset("data", data=rows)
    text = " ".join(check_file(tmp_path / "raw.h5").plan)
    assert ("noise: of measurement 77, if the noise store has it" in text) == (kind == "Noise")
