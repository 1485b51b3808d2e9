import ismrmrd
import numpy as np
import pytest

from nilatron.gadgets.items import ScanLog
from nilatron.pipelines.archive.folder import DicomFolder, DicomSettings
from nilatron.pipelines.archive.identity import RunIdentity
from nilatron.pipelines.files.header import parse_header

HEADER = """<ismrmrdHeader>
<subjectInformation><patientName>Jane Doe</patientName><patientID>4711</patientID></subjectInformation>
<studyInformation><studyDate>2025-03-04</studyDate><studyTime>05:06:07</studyTime>
<studyDescription>Sch\u00e4del</studyDescription><studyInstanceUID>1.2.840.99.1</studyInstanceUID>
<bodyPartExamined>head</bodyPartExamined></studyInformation>
<measurementInformation><measurementID>m</measurementID><seriesDate>2025-03-05</seriesDate><seriesTime>08:09:10.5</seriesTime>
<patientPosition>HFS</patientPosition><protocolName>t2_tse\\tra</protocolName><sequenceName>tse</sequenceName>
<frameOfReferenceUID>1.2.840.99.2</frameOfReferenceUID></measurementInformation>
<acquisitionSystemInformation><systemVendor>SIEMENS</systemVendor><systemModel>Aera</systemModel>
<systemFieldStrength_T>1.494</systemFieldStrength_T><institutionName>Site</institutionName><stationName>MR1</stationName>
<deviceSerialNumber>12345</deviceSerialNumber></acquisitionSystemInformation>
<experimentalConditions><H1resonanceFrequency_Hz>63600000</H1resonanceFrequency_Hz></experimentalConditions>
<encoding><trajectory>cartesian</trajectory>
<encodedSpace><matrixSize><x>30</x><y>20</y><z>1</z></matrixSize>
<fieldOfView_mm><x>240</x><y>160</y><z>5</z></fieldOfView_mm></encodedSpace></encoding>
<sequenceParameters><TR>3000</TR><TE>12.5</TE><TE>80</TE><TI>900</TI><flipAngle_deg>150</flipAngle_deg></sequenceParameters>
</ismrmrdHeader>"""
BARE = """<ismrmrdHeader><encoding><trajectory>cartesian</trajectory>
<encodedSpace><matrixSize><x>30</x><y>20</y><z>1</z></matrixSize>
<fieldOfView_mm><x>240</x><y>160</y><z>5</z></fieldOfView_mm></encodedSpace></encoding></ismrmrdHeader>"""
META = {
    "SeriesDescription": ["Nilatron AI Nila", "research"],
    "ImageProcessingHistory": ["Nilatron", "AI Nila"],
    "ImageType": ["DERIVED", "SECONDARY", "IMAGE"],
    "ImageComment": ["Nilatron AI Nila", "research only"],
    "nilatron_version": "9.8",
    "nilatron_weights_sha256": "ab" * 32,
    "nilatron_sampler": "nila",
    "nilatron_steps": "8",
    "nilatron_seed": "7",
}
UNCERTAINTY = META | {
    "SeriesDescription": ["Nilatron posterior standard deviation", "research"],
    "ImageType": ["DERIVED", "SECONDARY", "UNCERTAINTY"],
}
ROTATION = (0.4, 0.7)


def rotated(angles):
    """Directions (rows) that are turned about x, then about z."""
    a, b = angles
    turn_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    turn_z = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    return (turn_z @ turn_x).T


@pytest.fixture
def rotation():
    return rotated


@pytest.fixture
def header():
    return parse_header(HEADER)


@pytest.fixture
def bare_header():
    return parse_header(BARE)


@pytest.fixture
def image():
    """Make an oblique image; `pixels` (z, y, x) or a ramp, `at_mm` its place along the slice direction."""

    def make(shape=(1, 20, 30), fov=(240.0, 160.0, 5.0), series=1, pixels=None, at_mm=0.0, meta=(), **counters):
        if pixels is None:
            pixels = np.linspace(0, 50, np.prod(shape), dtype=np.float32).reshape(shape)
        made = ismrmrd.Image.from_array(pixels[None], transpose=False)
        axes = rotated(ROTATION)
        made.read_dir[:], made.phase_dir[:], made.slice_dir[:] = (tuple(axis) for axis in axes)
        made.position[:] = tuple(np.array((12.0, -30.0, 44.0)) + at_mm * axes[2])
        made.field_of_view[:] = fov
        made.image_series_index, made.image_type = series, ismrmrd.IMTYPE_MAGNITUDE
        for name, value in counters.items():
            setattr(made, name, value)
        base = UNCERTAINTY if series > 100 else META
        made.attribute_string = ismrmrd.Meta(base | dict(meta)).serialize()
        return made

    return make


@pytest.fixture
def write(tmp_path, header):
    """Write images of a run; returns the folder (as an object) after all files have appeared, and the log of the scan."""
    pytest.importorskip("highdicom")

    def run(*images, header=header, raw="raw", facts=(), **settings):
        scan = ScanLog()
        identity = RunIdentity(raw, {"chain": "c", **dict(facts)})
        with DicomFolder.of_run(
            tmp_path / "dicom", header, identity, DicomSettings(**settings), overwrite=True
        ) as folder:
            for each in images:
                folder.write(each)
            folder.finish(scan)
        return folder, scan

    return run


@pytest.fixture
def datasets(write):
    """The DICOM objects of images as they are read from their files, in the order of the files' names."""

    def run(*images, **how):
        import pydicom

        folder, _ = write(*images, **how)
        return [pydicom.dcmread(path) for path in folder.files]

    return run


@pytest.fixture
def pixel_centres():
    def find(data):
        """Patient coordinates (rows, columns, 3) as DICOM PS3.3 C.7.6.2.1.1 has them."""
        first = np.array(data.ImagePositionPatient, float)
        along_row, along_column = np.array(data.ImageOrientationPatient, float).reshape(2, 3)
        between_rows, between_columns = map(float, data.PixelSpacing)
        rows, columns = np.mgrid[: data.Rows, : data.Columns]
        return first + columns[..., None] * between_columns * along_row + rows[..., None] * between_rows * along_column

    return find
