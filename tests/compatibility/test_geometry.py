"""Where things are: points in patient coordinates through raw data, reconstruction and DICOM, and back."""

from dataclasses import dataclass

import h5py
import ismrmrd
import numpy as np
import pytest
from ismrmrd import xsd

pytestmark = pytest.mark.slow  # through a whole node what gadgets and conversation are asked alone

pydicom = pytest.importorskip("pydicom")
pytest.importorskip("highdicom")

PIXELS = 0.1
POSITION_MM = (12.0, -30.0, 44.0)


def rotation(x, y, z):
    """Read, phase and slice direction (rows) of a slice turned about x, y and z."""
    turns = []
    for axis, angle in enumerate((x, y, z)):
        turn, (i, j) = np.eye(3), [other for other in range(3) if other != axis]
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[i, j], turn[j, i] = -np.sin(angle), np.sin(angle)
        turns.append(turn)
    return (turns[2] @ turns[1] @ turns[0]).T


@dataclass(frozen=True)
class Scan:
    """Sizes (x, y, z), encoded and reconstructed, and the directions (rows)."""

    encoded: tuple[int, int, int]
    encoded_mm: tuple[float, float, float]
    recon: tuple[int, int, int]
    recon_mm: tuple[float, float, float]
    axes: np.ndarray
    patient_position: str = "HFS"

    def header(self):
        def space(matrix, fov):
            return xsd.encodingSpaceType(
                matrixSize=xsd.matrixSizeType(**dict(zip("xyz", matrix, strict=True))),
                fieldOfView_mm=xsd.fieldOfViewMm(**dict(zip("xyz", fov, strict=True))),
            )

        encoding = xsd.encodingType(
            encodedSpace=space(self.encoded, self.encoded_mm),
            reconSpace=space(self.recon, self.recon_mm),
            encodingLimits=xsd.encodingLimitsType(),
            trajectory=xsd.trajectoryType.CARTESIAN,
        )
        return xsd.ismrmrdHeader(
            measurementInformation=xsd.measurementInformationType(
                measurementID="1", patientPosition=xsd.patientPositionType(self.patient_position)
            ),
            experimentalConditions=xsd.experimentalConditionsType(H1resonanceFrequency_Hz=123200000),
            encoding=[encoding],
        )

    def lines(self, point_mm):
        """The signal exp(-2 pi i k r) of a point, r from the position, in the middle of a weak cloud, on every line."""
        r_mm = self.axes @ (np.array(point_mm) - POSITION_MM)
        k = [(np.arange(n) - n // 2) / fov for n, fov in zip(self.encoded, self.encoded_mm, strict=True)]
        waves = [np.exp(-2j * np.pi * k_ * r) for k_, r in zip(k, r_mm, strict=True)]
        clouds = [len(k_) * np.exp(-((k_ * 40) ** 2)) / np.exp(-((k_ * 40) ** 2)).sum() for k_ in k]
        noise = np.random.default_rng(0)
        for z, y in np.ndindex(self.encoded[2], self.encoded[1]):
            signal = waves[0] * waves[1][y] * waves[2][z] + 0.3 * clouds[0] * clouds[1][y] * clouds[2][z]
            white = noise.standard_normal((2, 2, self.encoded[0])) * 0.5
            line = ismrmrd.Acquisition.from_array(
                (np.array([[1], [1j]]) * signal + white[0] + 1j * white[1]).astype(np.complex64)
            )
            line.idx.kspace_encode_step_1, line.idx.kspace_encode_step_2 = y, z
            line.center_sample, line.sample_time_us = self.encoded[0] // 2, 5.0
            line.position[:] = POSITION_MM
            line.read_dir[:], line.phase_dir[:], line.slice_dir[:] = (tuple(axis) for axis in self.axes)
            yield line

    def point(self, *pixels):
        """Where so many pixels (x, y, z) from the position lie, in patient coordinates."""
        pixel_mm = np.array(self.recon_mm) / self.recon
        return np.array(POSITION_MM) + (np.array(pixels) * pixel_mm) @ self.axes

    def write(self, path, point_mm):
        """A raw file."""
        dataset = ismrmrd.Dataset(str(path), "dataset", create_if_needed=True)
        dataset.write_xml_header(xsd.ToXML(self.header()).encode())
        for number, line in enumerate(self.lines(point_mm)):
            line.scan_counter = number
            dataset.append_acquisition(line)
        dataset.close()
        return path


@pytest.fixture
def exported(command, tmp_path):
    """Reconstruct a scan with a point; exit code, stderr, the DICOM objects of series 1 in order."""

    def run(scan, point_mm):
        raw = scan.write(tmp_path / "raw.h5", point_mm)
        words = (
            "replay",
            raw,
            "-o",
            tmp_path / "out.h5",
            "-c",
            "zero_filled",
            "-G",
            "images",
            "--dicom",
            tmp_path / "dicom",
        )
        code, _, err = command(*words)
        return code, err, [pydicom.dcmread(path) for path in sorted((tmp_path / "dicom").glob("series001*.dcm"))]

    return run


def brightest(stack):
    """Patient coordinates (DICOM PS3.3 C.7.6.2.1.1) of the brightest pixel, and the size of a pixel in mm."""
    data = max(stack, key=lambda data: data.pixel_array.max())
    row, column = np.unravel_index(data.pixel_array.argmax(), data.pixel_array.shape)
    along_row, along_column = np.array(data.ImageOrientationPatient, float).reshape(2, 3)
    between_rows, between_columns = map(float, data.PixelSpacing)
    first = np.array(data.ImagePositionPatient, float)
    where = first + column * between_columns * along_row + row * between_rows * along_column
    return where, np.array([between_columns, between_rows, float(data.SliceThickness)])


def check(scan, exported, pixels):
    code, err, stack = exported(scan, scan.point(*pixels))
    assert code == 0, err
    assert len(stack) == scan.recon[2]
    where, pixel_mm = brightest(stack)
    assert pixel_mm == pytest.approx(np.array(scan.recon_mm) / scan.recon, rel=1e-6)
    away = scan.axes @ (where - scan.point(*pixels)) / pixel_mm
    assert np.abs(away).max() < PIXELS
    assert {data.PatientPosition for data in stack} == {scan.patient_position}
    return stack


OBLIQUE = rotation(0.4, -0.3, 0.7)
STRAIGHT = np.eye(3)
SLICES = {
    "even": Scan((64, 32, 1), (320, 160, 4), (32, 32, 1), (160, 160, 4), STRAIGHT),
    "odd": Scan((66, 33, 1), (330, 165, 4), (33, 33, 1), (165, 165, 4), STRAIGHT),
    "not square": Scan((64, 24, 1), (320, 120, 4), (32, 24, 1), (160, 120, 4), STRAIGHT),
    "interpolated": Scan((64, 32, 1), (320, 160, 4), (48, 49, 1), (160, 160, 4), STRAIGHT),
    "oblique": Scan((64, 32, 1), (320, 160, 4), (32, 32, 1), (160, 160, 4), OBLIQUE),
    "left-handed": Scan((64, 32, 1), (320, 160, 4), (32, 32, 1), (160, 160, 4), OBLIQUE * [[1], [1], [-1]]),
    # 49.45 of 64 encoded pixels; ismrmrd/ismrmrd#131 has 216.32 of 228
    "between pixels": Scan((64, 64, 1), (220, 220, 4), (64, 64, 1), (170, 170, 4), OBLIQUE),
    "between pixels, interpolated": Scan(
        (64, 57, 1), (320, 204.542404, 7.5), (32, 108, 1), (160, 194.063004, 5), OBLIQUE
    ),
}


@pytest.mark.row("F2.37")
@pytest.mark.parametrize("kind", SLICES)
def test_a_point_of_a_slice_is_where_it_was(exported, kind):
    """SyneRBI/SIRF#198 and #441, ismrmrd/ismrmrd#248; fields of view: MagneticResonanceImaging/MRIReco.jl#239,
    PTB-MR/mrpro#754.
    """
    check(SLICES[kind], exported, (-9, 7, 0))


@pytest.mark.row("F2.37")
@pytest.mark.parametrize("lying", ["FFP", "HFDR"])
def test_a_point_is_where_it_was_however_the_patient_lies(exported, lying):
    """ismrmrd/ismrmrd#138, PTB-MR/mrpro#33, rordenlab/dcm2niix#594."""
    scan = Scan((64, 32, 1), (320, 160, 4), (32, 32, 1), (160, 160, 4), OBLIQUE, lying)
    check(scan, exported, (-9, 7, 0))


VOLUMES = {
    "even": Scan((48, 24, 8), (240, 120, 24), (24, 24, 8), (120, 120, 24), OBLIQUE),
    "odd": Scan((48, 24, 9), (240, 120, 27), (24, 24, 9), (120, 120, 27), OBLIQUE),
    "slice oversampling": Scan((48, 24, 12), (240, 120, 36), (24, 24, 8), (120, 120, 24), OBLIQUE),
    "slice oversampling and interpolation": Scan((48, 24, 10), (240, 120, 30), (24, 24, 16), (120, 120, 24), OBLIQUE),
    "slices between partitions": Scan((48, 24, 13), (240, 120, 39), (24, 24, 12), (120, 120, 31), OBLIQUE),
}


@pytest.mark.row("F2.37")
@pytest.mark.parametrize("kind", VOLUMES)
def test_a_point_of_a_volume_is_where_it_was(exported, kind):
    """Slices, their number and distance as reconSpace says: SyneRBI/SIRF#272, gadgetron/gadgetron#140,
    dgallichan/retroMoCoBox#4 (slice oversampling).
    """
    scan = VOLUMES[kind]
    stack = check(scan, exported, (4, -7, -3))
    firsts = np.array([np.array(data.ImagePositionPatient, float) for data in stack])
    step = scan.recon_mm[2] / scan.recon[2] * scan.axes[2]
    assert np.allclose(np.diff(firsts, axis=0), step, atol=1e-3)
    spacings = [float(data.SpacingBetweenSlices) for data in stack]
    assert spacings == pytest.approx([scan.recon_mm[2] / scan.recon[2]] * len(stack))


@pytest.mark.row("F2.37")
@pytest.mark.parametrize(
    ("directions", "said"),
    [
        (np.zeros((3, 3)), "read_dir (0, 0, 0), phase_dir (0, 0, 0), slice_dir (0, 0, 0)"),
        (np.array([[1, 0, 0], [0.6, 0.8, 0], [0, 0, 1]]), "phase_dir (0.6, 0.8, 0)"),
        (np.array([[1, 0, 0], [0, 2, 0], [0, 0, 1]]), "phase_dir (0, 2, 0)"),
    ],
)
def test_directions_that_are_none_cost_the_dicom_files_and_no_image(exported, tmp_path, directions, said):
    """gadgetron/gadgetron#1003, ismrmrd/ge_to_ismrmrd#25: exit code 3, and the images as the scanner told them."""
    scan = Scan((64, 32, 1), (320, 160, 4), (32, 32, 1), (160, 160, 4), directions)
    code, err, stack = exported(scan, POSITION_MM)
    assert code == 3
    assert stack == []
    assert (
        "1 image could not be written: DICOM needs directions of length 1 at right angles, got " in err.splitlines()[-1]
    )
    assert said in err.splitlines()[-1]
    with h5py.File(tmp_path / "out.h5") as file:
        (head,) = file["images/image_1/header"][:]
    assert np.allclose([head["read_dir"], head["phase_dir"], head["slice_dir"]], directions)
    assert np.allclose(head["position"], POSITION_MM)


@pytest.mark.row("F2.37")
def test_rounded_directions_are_written_as_orthonormal_ones(exported, tmp_path):
    scan = Scan((64, 32, 1), (320, 160, 4), (32, 32, 1), (160, 160, 4), np.round(OBLIQUE, 3))
    code, err, (data,) = exported(scan, POSITION_MM)
    assert code == 0, err
    axes = np.array(data.ImageOrientationPatient, float).reshape(2, 3)
    assert np.allclose(axes @ axes.T, np.eye(2), atol=1e-7)
    with h5py.File(tmp_path / "out.h5") as file:
        assert np.allclose(file["images/image_1/header"][0]["read_dir"], np.round(OBLIQUE[0], 3), atol=1e-7)
