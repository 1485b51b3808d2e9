import io

import ismrmrd
import numpy as np
import pytest

from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.files.dicom import DicomScan, to_stored

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


def test_the_middle_of_the_pixels_is_the_position_and_their_extent_the_field_of_view():
    source = image()
    (data,) = map(read, DicomScan(HEADER).datasets(source))
    centres = pixel_centres(data)
    assert (data.Rows, data.Columns) == (20, 30)
    assert np.allclose(centres.mean(axis=(0, 1)), source.position[:], atol=1e-3)
    across = centres[0, -1] - centres[0, 0]
    assert np.allclose(across, 240 * 29 / 30 * np.array(source.read_dir[:]), atol=1e-3)
    down = centres[-1, 0] - centres[0, 0]
    assert np.allclose(down, 160 * 19 / 20 * np.array(source.phase_dir[:]), atol=1e-3)


def test_a_volume_is_a_stack_around_its_position():
    source = image(shape=(4, 6, 8), fov=(80.0, 60.0, 20.0))
    stack = [read(data) for data in DicomScan(HEADER).datasets(source)]
    assert [data.InstanceNumber for data in stack] == [9, 10, 11, 12]
    centres = np.array([pixel_centres(data).mean(axis=(0, 1)) for data in stack])
    assert np.allclose(centres.mean(axis=0), source.position[:], atol=1e-3)
    assert np.allclose(np.diff(centres, axis=0), 5 * np.array(source.slice_dir[:]), atol=1e-3)
    assert all(float(data.SliceThickness) == 5 for data in stack)


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


def test_images_that_dicom_cannot_hold_are_refused():
    with pytest.raises(InputError, match="one channel and a field of view"):
        DicomScan(HEADER).datasets(image(fov=(0.0, 160.0, 5.0)))
