import io
import re

import ismrmrd
import numpy as np
import pytest
from nilatron.pipelines.files.dicom import DicomScan, to_stored

from nilatron.pipelines.files.atomic import InputError

pydicom = pytest.importorskip("pydicom")
HEADER = b"<ismrmrdHeader><patientName>Jane Doe</patientName></ismrmrdHeader>"


def rotation(angles):
    (a, b), matrix = angles, np.eye(3)
    turn_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    turn_z = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    return turn_z @ turn_x @ matrix


def image(shape=(1, 20, 30), fov=(240.0, 160.0, 5.0), series=1, index=3):
    pixels = np.linspace(0, 50, np.prod(shape), dtype=np.float32).reshape(1, *shape)
    made = ismrmrd.Image.from_array(pixels)
    directions = rotation((0.4, 0.7))
    made.read_dir[:], made.phase_dir[:], made.slice_dir[:] = (tuple(column) for column in directions.T)
    made.position[:] = (12.0, -30.0, 44.0)
    made.field_of_view[:] = fov
    made.image_series_index, made.image_index = series, index
    made.attribute_string = ismrmrd.Meta({"SeriesDescription": ["Nilatron", "research"]}).serialize()
    return made


def read(dataset):
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    buffer.seek(0)
    return pydicom.dcmread(buffer)


def pixel_centres(data):
    """Patient coordinates (rows, columns, 3) as DICOM PS3.3 C.7.6.2.1.1 has them."""
    first = np.array(data.ImagePositionPatient, float)
    along_row, along_column = np.array(data.ImageOrientationPatient, float).reshape(2, 3)
    between_rows, between_columns = map(float, data.PixelSpacing)
    rows, columns = np.mgrid[: data.Rows, : data.Columns]
    return first + columns[..., None] * between_columns * along_row + rows[..., None] * between_rows * along_column


@pytest.mark.parametrize("shape", [(1, 20, 30), (1, 21, 31), (1, 1, 8)])
def test_the_pixel_at_half_is_the_position_and_the_extent_the_field_of_view(shape):
    """SyneRBI/SIRF#198, #441 and #1023, isi-nmr/brukerapi-python#221: index n // 2 is the centre, for even n as well."""
    source = image(shape)
    (data,) = map(read, DicomScan(HEADER).datasets(source))
    centres = pixel_centres(data)
    n_y, n_x = shape[1:]
    assert (data.Rows, data.Columns) == (n_y, n_x)
    assert np.allclose(centres[n_y // 2, n_x // 2], source.position[:], atol=1e-3)
    across = centres[0, -1] - centres[0, 0]
    assert np.allclose(across, 240 * (n_x - 1) / n_x * np.array(source.read_dir[:]), atol=1e-3)
    down = centres[-1, 0] - centres[0, 0]
    assert np.allclose(down, 160 * (n_y - 1) / n_y * np.array(source.phase_dir[:]), atol=1e-3)


@pytest.mark.parametrize(("n_z", "at"), [(4, 2), (5, 2), (2, 1)])
def test_a_volume_is_a_stack_around_its_position(n_z, at):
    """gadgetron/gadgetron#140, SyneRBI/SIRF#272: the spacing of slices is their distance."""
    source = image(shape=(n_z, 6, 8), fov=(80.0, 60.0, 5.0 * n_z))
    stack = [read(data) for data in DicomScan(HEADER).datasets(source)]
    assert [data.InstanceNumber for data in stack] == list(range(2 * n_z + 1, 3 * n_z + 1))
    centres = np.array([pixel_centres(data)[3, 4] for data in stack])
    assert np.allclose(centres[at], source.position[:], atol=1e-3)
    assert np.allclose(np.diff(centres, axis=0), 5 * np.array(source.slice_dir[:]), atol=1e-3)
    assert all(float(data.SliceThickness) == float(data.SpacingBetweenSlices) == 5 for data in stack)


def test_slices_that_run_against_the_right_hand_rule_stay_where_they_are():
    source = image(shape=(4, 6, 8))
    source.slice_dir[:] = [-v for v in source.slice_dir]
    stack = [read(data) for data in DicomScan(HEADER).datasets(source)]
    steps = np.diff([np.array(data.ImagePositionPatient, float) for data in stack], axis=0)
    assert np.allclose(steps, 5.0 / 4 * np.array(source.slice_dir[:]), atol=1e-3)
    assert np.allclose(pixel_centres(stack[2])[3, 4], source.position[:], atol=1e-3)


POSITIONS = [position.value for position in ismrmrd.xsd.patientPositionType]


@pytest.mark.parametrize("lying", ["", *POSITIONS])
@pytest.mark.parametrize("angles", [(0.0, 0.0), (0.4, 0.7), (-1.2, 2.9), (np.pi / 2, 0.0)])
def test_an_oblique_point_is_found_where_it_was_however_the_patient_lies(angles, lying):
    """Directions are the patient's own: ismrmrd/ismrmrd#138, PTB-MR/mrpro#33, rordenlab/dcm2niix#594 (HFDL)."""
    source = image(shape=(6, 20, 30), fov=(240.0, 160.0, 30.0))
    axes = rotation(angles).T
    source.read_dir[:], source.phase_dir[:], source.slice_dir[:] = (tuple(axis) for axis in axes)
    source.data[:] = 0
    source.data[0, 4, 3, 25] = 50
    where = np.array(source.position[:]) + np.array([25 - 15, 3 - 10, 4 - 3]) * (8.0, 8.0, 5.0) @ axes
    stack = [read(data) for data in DicomScan(HEADER, lying).datasets(source)]
    brightest = max(stack, key=lambda data: data.pixel_array.max())
    row, column = np.unravel_index(brightest.pixel_array.argmax(), brightest.pixel_array.shape)
    assert np.linalg.norm(pixel_centres(brightest)[row, column] - where) < 0.1 * 5
    assert np.linalg.norm(pixel_centres(brightest)[row, column] - where) < 2e-3
    assert brightest.PatientPosition == lying


def test_directions_that_were_rounded_are_made_orthonormal():
    source = image()
    for name in ("read_dir", "phase_dir", "slice_dir"):
        getattr(source, name)[:] = [round(v, 3) for v in getattr(source, name)]
    (data,) = map(read, DicomScan(HEADER).datasets(source))
    axes = np.array(data.ImageOrientationPatient, float).reshape(2, 3)
    assert np.allclose(axes @ axes.T, np.eye(2), atol=1e-7)
    assert np.allclose(axes, rotation((0.4, 0.7)).T[:2], atol=1e-3)


DIRECTIONS = {
    "zero": {"read_dir": (0, 0, 0)},
    "all zero": {"read_dir": (0, 0, 0), "phase_dir": (0, 0, 0), "slice_dir": (0, 0, 0)},
    "no slice direction": {"slice_dir": (0, 0, 0)},
    "too long": {"phase_dir": (0, 1.002, 0)},
    "not at right angles": {"phase_dir": (0.6, 0.8, 0)},
    "twice the same": {"phase_dir": (1, 0, 0)},
    "not finite": {"read_dir": (np.nan, 0, 0)},
}


@pytest.mark.parametrize("fault", DIRECTIONS)
def test_directions_that_are_none_are_refused_with_what_came(fault):
    """gadgetron/gadgetron#1003, ismrmrd/ge_to_ismrmrd#25: geometry that nobody has looked at."""
    source = image()
    given = {"read_dir": (1, 0, 0), "phase_dir": (0, 1, 0), "slice_dir": (0, 0, 1), **DIRECTIONS[fault]}
    for name, values in given.items():
        getattr(source, name)[:] = values
    told = ", ".join(f"{name} ({', '.join(f'{v:g}' for v in values)})" for name, values in given.items())
    with pytest.raises(InputError, match=re.escape(f"directions of length 1 at right angles, got {told}")):
        DicomScan(HEADER).datasets(source)


def test_a_position_that_is_not_finite_is_refused():
    source = image()
    source.position[1] = np.inf
    with pytest.raises(InputError, match=r"DICOM needs a position, got \(12, inf, 44\) mm"):
        DicomScan(HEADER).datasets(source)


def test_pixels_survive_to_half_a_step():
    source = image()
    (data,) = map(read, DicomScan(HEADER).datasets(source))
    found = data.pixel_array * float(data.RescaleSlope) + float(data.RescaleIntercept)
    assert np.abs(found - source.data[0, 0]).max() <= float(data.RescaleSlope) / 2 + 1e-5


@pytest.mark.parametrize(("top", "slope"), [(0.0, 0.1), (3000.0, 0.1), (5000.0, 1.0), (1e6, 100.0)])
def test_bright_images_take_a_coarser_step_and_never_saturate(top, slope):
    stored, found = to_stored(np.array([[0.0, top]], np.float32))
    assert found == pytest.approx(slope)
    assert stored.max() <= 32767
    assert stored.max() * found == pytest.approx(top, abs=slope)


@pytest.mark.parametrize("series", [1, 101])
def test_integers_that_say_their_step_are_stored_in_snr_units(series):
    source = image(series=series)
    expected = source.data[0, 0]
    integers = ismrmrd.Image.from_array(np.rint(source.data * 100).astype(np.int16), transpose=False)
    head = source.getHead()
    head.data_type = integers.data_type
    integers.setHead(head)
    integers.attribute_string = ismrmrd.Meta({"RescaleSlope": "0.01"}).serialize()
    (data,) = map(read, DicomScan(HEADER).datasets(integers))
    found = data.pixel_array * float(data.RescaleSlope)
    assert np.abs(found - expected).max() <= (float(data.RescaleSlope) + 0.01) / 2 + 1e-5


@pytest.mark.parametrize("top", [0.02, 0.9, 4.0, 4000.0, 1e6])
def test_an_uncertainty_map_has_steps_of_its_own(top):
    source = image(series=101)
    source.data[:] *= top / 50
    (data,) = map(read, DicomScan(HEADER).datasets(source))
    assert 3000 < data.pixel_array.max() <= 32767
    found = data.pixel_array * float(data.RescaleSlope)
    assert np.abs(found - source.data[0, 0]).max() <= 0.501 * float(data.RescaleSlope)


def test_an_empty_uncertainty_map_is_zero():
    source = image(series=101)
    source.data[:] = 0
    (data,) = map(read, DicomScan(HEADER).datasets(source))
    assert not data.pixel_array.any()


def test_nothing_of_the_patient_is_copied_and_the_origin_is_told():
    (data,) = map(read, DicomScan(HEADER).datasets(image()))
    assert "Jane" not in str(data)
    assert "DERIVED" in data.ImageType
    assert data.SeriesDescription == "Nilatron research"
    assert data.Manufacturer == "Nilatron"


def test_identifiers_follow_from_scan_series_and_image():
    def uids(header, **which):
        (data,) = DicomScan(header).datasets(image(**which))
        return data.StudyInstanceUID, data.SeriesInstanceUID, data.SOPInstanceUID

    first = uids(HEADER)
    assert uids(HEADER) == first
    assert all(uid.startswith("2.25.") and len(uid) <= 64 for uid in first)
    study, series, sop = uids(HEADER, series=2)
    assert study == first[0]
    assert series != first[1]
    assert sop != first[2]
    assert uids(HEADER, index=4)[:2] == first[:2]
    assert set(uids(b"another")).isdisjoint(first)


@pytest.mark.parametrize("size", [0.0, -240.0, np.nan, np.inf])
def test_images_that_dicom_cannot_hold_are_refused(size):
    with pytest.raises(InputError, match="one channel and a field of view"):
        DicomScan(HEADER).datasets(image(fov=(size, 160.0, 5.0)))


def test_without_pydicom_the_answer_comes_before_the_images(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"DICOM output needs pydicom: pip install 'nilatron\[dicom\]'"):
        DicomScan(HEADER)
