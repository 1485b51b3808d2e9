import re

import ismrmrd
import numpy as np
import pytest

from nilatron.pipelines.archive.geometry import planes_of
from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.files.header import parse_header


@pytest.mark.parametrize("shape", [(1, 20, 30), (1, 21, 31), (1, 1, 8)])
def test_the_pixel_at_half_is_the_position_and_the_extent_the_field_of_view(image, datasets, pixel_centres, shape):
    """SyneRBI/SIRF#198, #441 and #1023, isi-nmr/brukerapi-python#221: index n // 2 is the centre, for even n as well."""
    source = image(shape)
    (data,) = datasets(source)
    centres = pixel_centres(data)
    n_y, n_x = shape[1:]
    assert (data.Rows, data.Columns) == (n_y, n_x)
    assert np.allclose(centres[n_y // 2, n_x // 2], source.position[:], atol=1e-3)
    across = centres[0, -1] - centres[0, 0]
    assert np.allclose(across, 240 * (n_x - 1) / n_x * np.array(source.read_dir[:]), atol=1e-3)
    down = centres[-1, 0] - centres[0, 0]
    assert np.allclose(down, 160 * (n_y - 1) / n_y * np.array(source.phase_dir[:]), atol=1e-3)


@pytest.mark.parametrize(("n_z", "at"), [(4, 2), (5, 2), (2, 1)])
def test_a_volume_is_a_stack_around_its_position(image, datasets, pixel_centres, n_z, at):
    """gadgetron/gadgetron#140, SyneRBI/SIRF#272: the spacing of slices is their distance."""
    source = image(shape=(n_z, 6, 8), fov=(80.0, 60.0, 5.0 * n_z))
    stack = datasets(source)
    assert [data.InstanceNumber for data in stack] == list(range(1, n_z + 1))
    centres = np.array([pixel_centres(data)[3, 4] for data in stack])
    assert np.allclose(centres[at], source.position[:], atol=1e-3)
    assert np.allclose(np.diff(centres, axis=0), 5 * np.array(source.slice_dir[:]), atol=1e-3)
    assert all(float(data.SliceThickness) == float(data.SpacingBetweenSlices) == 5 for data in stack)


def test_slices_that_run_against_the_right_hand_rule_stay_where_they_are(image, datasets, pixel_centres):
    source = image(shape=(4, 6, 8))
    source.slice_dir[:] = [-v for v in source.slice_dir]
    stack = datasets(source)
    steps = np.diff([np.array(data.ImagePositionPatient, float) for data in stack], axis=0)
    assert np.allclose(steps, 5.0 / 4 * np.array(source.slice_dir[:]), atol=1e-3)
    assert np.allclose(pixel_centres(stack[2])[3, 4], source.position[:], atol=1e-3)


ENCODING = """<encoding><trajectory>cartesian</trajectory><encodedSpace><matrixSize><x>30</x><y>20</y><z>6</z></matrixSize>
<fieldOfView_mm><x>240</x><y>160</y><z>30</z></fieldOfView_mm></encodedSpace></encoding>"""
POSITIONS = [position.value for position in ismrmrd.xsd.patientPositionType]


@pytest.mark.parametrize("lying", ["", *POSITIONS])
@pytest.mark.parametrize("angles", [(0.0, 0.0), (0.4, 0.7), (-1.2, 2.9), (np.pi / 2, 0.0)])
def test_an_oblique_point_is_found_where_it_was_however_the_patient_lies(
    image, datasets, pixel_centres, rotation, angles, lying
):
    """Directions are the patient's own: ismrmrd/ismrmrd#138, PTB-MR/mrpro#33, rordenlab/dcm2niix#594 (HFDL)."""
    source = image(shape=(6, 20, 30), fov=(240.0, 160.0, 30.0))
    axes = rotation(angles)
    source.read_dir[:], source.phase_dir[:], source.slice_dir[:] = (tuple(axis) for axis in axes)
    source.data[:] = 0
    source.data[0, 4, 3, 25] = 50
    where = np.array(source.position[:]) + np.array([25 - 15, 3 - 10, 4 - 3]) * (8.0, 8.0, 5.0) @ axes
    xml = (
        f"<measurementInformation><patientPosition>{lying}</patientPosition></measurementInformation>" if lying else ""
    )
    header = parse_header(f"<ismrmrdHeader>{xml}{ENCODING}</ismrmrdHeader>")
    stack = datasets(source, header=header)
    brightest = max(stack, key=lambda data: data.pixel_array.max())
    row, column = np.unravel_index(brightest.pixel_array.argmax(), brightest.pixel_array.shape)
    assert np.linalg.norm(pixel_centres(brightest)[row, column] - where) < 0.1 * 5
    assert np.linalg.norm(pixel_centres(brightest)[row, column] - where) < 2e-3
    assert brightest.PatientPosition == lying


def test_directions_that_were_rounded_are_made_orthonormal(image, datasets, rotation):
    source = image()
    for name in ("read_dir", "phase_dir", "slice_dir"):
        getattr(source, name)[:] = [round(v, 3) for v in getattr(source, name)]
    (data,) = datasets(source)
    axes = np.array(data.ImageOrientationPatient, float).reshape(2, 3)
    assert np.allclose(axes @ axes.T, np.eye(2), atol=1e-7)
    assert np.allclose(axes, rotation((0.4, 0.7))[:2], atol=1e-3)


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
def test_directions_that_are_none_are_refused_with_what_came(image, fault):
    """gadgetron/gadgetron#1003, ismrmrd/ge_to_ismrmrd#25: geometry that nobody has looked at."""
    source = image()
    given = {"read_dir": (1, 0, 0), "phase_dir": (0, 1, 0), "slice_dir": (0, 0, 1), **DIRECTIONS[fault]}
    for name, values in given.items():
        getattr(source, name)[:] = values
    told = ", ".join(f"{name} ({', '.join(f'{v:g}' for v in values)})" for name, values in given.items())
    with pytest.raises(InputError, match=re.escape(f"directions of length 1 at right angles, got {told}")):
        planes_of(source)


def test_a_position_that_is_not_finite_is_refused(image):
    source = image()
    source.position[1] = np.inf
    with pytest.raises(InputError, match=r"DICOM needs a position, got \(12, inf, 44\) mm"):
        planes_of(source)


@pytest.mark.parametrize("size", [0.0, -240.0, np.nan, np.inf])
def test_images_that_dicom_cannot_hold_are_refused(image, size):
    with pytest.raises(InputError, match="one channel and a field of view"):
        planes_of(image(fov=(size, 160.0, 5.0)))
