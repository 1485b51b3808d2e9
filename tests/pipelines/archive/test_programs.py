"""Files as other programs see them: dciodvfy, dcentvfy and dcm2niix."""

import json
import shutil
import subprocess

import nibabel
import numpy as np
import pytest

pydicom = pytest.importorskip("pydicom")

pytestmark = pytest.mark.slow

ORDER = (0, 2, 4, 1, 3)  # of arrival


def program(name):
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def output(*words):
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)  # noqa: S603
    return done.stdout


@pytest.fixture
def a_run(image):
    """Interleaved slices of two echoes, two repetitions, main and uncertainty; one is doubtful."""

    def make(n_contrasts=1, n_repetitions=1):
        rng = np.random.default_rng(0)
        return [
            image(
                series=series,
                pixels=np.abs(rng.normal(scale=top, size=(1, 20, 30))).astype(np.float32),
                at_mm=6.0 * i,
                slice=i,
                contrast=contrast,
                repetition=repetition,
                acquisition_time_stamp=400 * (36000 + 3 * repetition) + 200 * place,
                meta={"nilatron_doubt": "ghosts", "SeriesDescription": ["Nilatron AI Nila DOUBTFUL", "research"]}
                if (series, i) == (1, 2)
                else {},
            )
            for repetition in range(n_repetitions)
            for contrast in range(n_contrasts)
            for place, i in enumerate(ORDER)
            for series, top in ((1, 40.0), (101, 0.3))
        ]

    return make


@pytest.mark.parametrize("lacking", ["nothing", "all but the encoding"])
def test_dciodvfy_finds_no_error(write, a_run, header, bare_header, lacking):
    verify = program("dciodvfy")
    folder, _ = write(*a_run(2, 2), header=header if lacking == "nothing" else bare_header)
    assert len(folder.files) == 2 * 20 + 4
    for path in folder.files:
        done = subprocess.run([verify, path], stderr=subprocess.PIPE, text=True, check=False)  # noqa: S603
        assert [line for line in done.stderr.splitlines() if line.startswith("Error")] == [], path


def test_dcentvfy_finds_that_all_files_agree_about_patient_study_and_series(write, a_run):
    folder, _ = write(*a_run(2, 2))
    assert output(program("dcentvfy"), *folder.files) == ""


def test_dciodvfy_finds_no_error_in_volumes_signed_images_fall_backs_and_the_study_of_another_file(
    write, image, tmp_path
):
    verify = program("dciodvfy")
    reference = pydicom.dcmread(write(image())[0].files[0])
    reference.PatientName, reference.PatientID, reference.PatientSex = "Döe^Jane", "0815", "F"
    reference.save_as(tmp_path / "reference.dcm")
    volume = np.random.default_rng(0).normal(size=(4, 20, 30)).astype(np.float32)
    folder, _ = write(
        image(pixels=np.abs(volume)),
        image(series=101, pixels=np.abs(volume)),
        image(series=2, pixels=np.zeros_like(volume)),
        image(series=1001, pixels=volume, image_type=3, meta={"ImageType": "DERIVED"}),
        image(series=3001, pixels=volume, image_type=2, meta={"ImageType": "DERIVED"}),
        image(meta={"nilatron_fallback": "no time", "nilatron_doubt": "ghosts"}),
        image(slice=7, pixels=np.zeros((1, 20, 30), np.float32), series=2),
        like=tmp_path / "reference.dcm",
        series_offset=7000,
    )
    assert len(folder.files) == 6 * 4 + 3
    for path in folder.files:
        done = subprocess.run([verify, path], stderr=subprocess.PIPE, text=True, check=False)  # noqa: S603
        assert [line for line in done.stderr.splitlines() if line.startswith("Error")] == [], path


@pytest.mark.parametrize(
    ("vendor", "n_contrasts", "n_repetitions"),
    [
        ("SIEMENS", 1, 1),
        ("SIEMENS", 2, 1),
        ("SIEMENS", 1, 3),
        ("GE MEDICAL SYSTEMS", 2, 1),
        ("Philips Medical Systems", 2, 1),
        ("Philips Medical Systems", 1, 3),
        ("Canon", 1, 3),
    ],
)
def test_dcm2niix_converts_without_a_warning(write, a_run, header, tmp_path, vendor, n_contrasts, n_repetitions):
    convert = program("dcm2niix")
    header.acquisitionSystemInformation.systemVendor = vendor
    folder, _ = write(*a_run(n_contrasts, n_repetitions), header=header)
    (tmp_path / "nifti").mkdir()
    said = output(convert, "-f", "%s_%e", "-o", tmp_path / "nifti", folder.folder)
    assert "warning" not in said.lower(), said
    assert "error" not in said.lower(), said
    n_volumes = (n_repetitions,) if n_repetitions > 1 else ()
    for series in (1, 101):
        files = sorted((tmp_path / "nifti").glob(f"{series}_*.nii"))
        assert [nibabel.load(path).shape for path in files] == [(30, 20, 5, *n_volumes)] * n_contrasts
    assert len(list((tmp_path / "nifti").glob("151_*.nii"))) == n_contrasts * n_repetitions
    sidecar = json.loads(next((tmp_path / "nifti").glob("1_1*.json")).read_text())
    assert sidecar["EchoTime"] == pytest.approx(0.0125)
    assert sidecar["RepetitionTime"] == pytest.approx(3)


def test_dcm2niix_finds_a_point_of_oblique_slices_where_it_was_in_snr_units(write, image, rotation, tmp_path):
    convert = program("dcm2niix")
    images = [image(pixels=np.ones((1, 20, 30), np.float32), at_mm=6.0 * i, slice=i) for i in ORDER]
    marked = images[1]  # slice 2
    marked.data[0, 0, 3, 25] = 40
    folder, _ = write(*images)
    (tmp_path / "nifti").mkdir()
    output(convert, "-f", "image", "-o", tmp_path / "nifti", folder.folder)
    found = nibabel.load(tmp_path / "nifti" / "image.nii")
    values = found.get_fdata()
    assert values.max() == pytest.approx(40, abs=1e-3)
    assert np.median(values) == pytest.approx(1, abs=2e-3)
    right_anterior_superior = found.affine @ [*np.unravel_index(values.argmax(), values.shape), 1]
    axes = rotation((0.4, 0.7))
    where = np.array(marked.position[:]) + (25 - 15) * 8 * axes[0] + (3 - 10) * 8 * axes[1]
    assert right_anterior_superior[:3] * (-1, -1, 1) == pytest.approx(where, abs=1e-3)
