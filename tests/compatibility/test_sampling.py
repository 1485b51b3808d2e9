"""Which samples a scan has: calibration, partial Fourier, matrices, oversampling, asymmetric echoes."""

import ismrmrd
import numpy as np
import pytest
from ismrmrd.xsd import calibrationModeType

pytestmark = pytest.mark.slow  # through a whole node what gadgets and conversation are asked alone

IMAGING_TOO, ONLY = ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING, ismrmrd.ACQ_IS_PARALLEL_CALIBRATION
READOUT = ("NoiseAdjustGadget", "AsymmetricEchoAdjustROGadget", "RemoveROOversamplingGadget")
BUFFERS = (*READOUT, "AcquisitionAccumulateTriggerGadget", "BucketToBufferGadget")
PLACES = pytest.mark.parametrize("gadgets", [(), BUFFERS], ids=["lines", "buffers"])
ACCELERATED = {"acceleration": 2}


def set_mode(scan, mode):
    scan.header.encoding[0].parallelImaging.calibrationMode = calibrationModeType(mode)


def embedded_all_21(scan):
    """No line is for calibration alone: those in between are called imaging, too."""
    for line in scan.imaging:
        if line.is_flag_set(ONLY):
            line.clear_flag(ONLY)
            line.set_flag(IMAGING_TOO)


def interleaved(scan):
    """Time-interleaved: every frame calibrates with its own lines, none is marked."""
    set_mode(scan, "interleaved")


def separate_with_its_own_count(scan):
    """A separate scan that counts its lines from 0."""
    first = min(line.idx.kspace_encode_step_1 for line in scan.imaging if line.is_flag_set(ONLY))
    for line in scan.imaging:
        if line.is_flag_set(ONLY):
            line.idx.kspace_encode_step_1 -= first


CALIBRATIONS = {
    "embedded, all 21": ({"calibration": "embedded"}, embedded_all_21),
    "embedded, 20 and 21": ({"calibration": "embedded"}, None),
    "interleaved": ({"calibration": "embedded"}, interleaved),
    "separate": ({"calibration": "separate"}, None),
    "separate, counted from 0": ({"calibration": "separate"}, separate_with_its_own_count),
    "external": ({"calibration": "separate"}, lambda scan: set_mode(scan, "external")),
}


@pytest.mark.row("F2.07")
@PLACES
@pytest.mark.parametrize("kind", CALIBRATIONS)
def test_calibration_in_every_form(simulated, converse, kind, gadgets):
    changes, edit = CALIBRATIONS[kind]
    scan = simulated(**ACCELERATED, **changes)
    if edit is not None:
        edit(scan)
    reply = converse(scan.behind(*gadgets))
    assert reply.error is None
    (image,) = reply.images
    assert scan.error_of(image) < 0.04


@pytest.mark.row("F2.07")
def test_an_accelerated_scan_without_calibration_gives_an_image_that_says_so(simulated, converse):
    scan = simulated(**ACCELERATED, calibration="none")
    reply = converse(scan)
    (image,) = reply.images
    assert "doubtful main image" in reply.error  # aliases that nothing could unfold
    assert "calibration" in reply.error
    assert "nilatron_doubt" in image.meta
    assert any("calibration" in comment for comment in image.meta["ImageComment"])


@pytest.mark.row("F2.08")
def test_calibration_flags_without_parallel_imaging_in_the_header(simulated, converse):
    scan = simulated(**ACCELERATED)
    scan.header.encoding[0].parallelImaging = None
    reply = converse(scan)
    assert reply.error is None
    (image,) = reply.images
    assert scan.error_of(image) < 0.04
    assert reply.report.counts["imaging lines"] == len(scan.imaging)


def without_the_last_lines(scan, n_left_out):
    """Drop lines at the upper end, as the header's limits say."""
    limit = scan.header.encoding[0].encodingLimits.kspace_encoding_step_1
    limit.maximum -= n_left_out
    scan.items = [line for line in scan.lines if line.idx.kspace_encode_step_1 <= limit.maximum]
    scan.imaging[-1].set_flag(ismrmrd.ACQ_LAST_IN_SLICE)


@pytest.mark.row("F2.09")
@PLACES
@pytest.mark.parametrize("missing", ["first lines", "last lines"])
@pytest.mark.parametrize("acceleration", [1, 2])
def test_partial_fourier_at_either_end(simulated, converse, missing, acceleration, gadgets):
    first = missing == "first lines"
    scan = simulated(partial_fourier=0.75 if first else 1.0, acceleration=acceleration)
    if not first:
        without_the_last_lines(scan, 10)
    limit = scan.header.encoding[0].encodingLimits.kspace_encoding_step_1
    assert (limit.center, limit.maximum) == ((10, 29) if first else (20, 29))
    reply = converse(scan.behind(*gadgets))
    assert reply.error is None
    (image,) = reply.images
    assert scan.error_of(image) < 0.1
    profile = np.abs(image.data[0, 0]).sum(axis=1)
    full = np.abs(converse(simulated()).images[0].data[0, 0]).sum(axis=1)
    assert np.corrcoef(profile, full)[0, 1] > 0.98  # not displaced by the missing lines


GRIDS = {
    "recon matrix larger": {"recon_matrix": (72, 60)},
    "recon matrix smaller": {"recon_matrix": (36, 30)},
    "interpolated to a square": {"recon_matrix": (64, 64)},
    "field of view not square": {"fov_mm": (240.0, 140.0, 5.0)},
    "odd matrix": {"matrix": (45, 39, 1)},
}


@pytest.mark.row("F2.10")
@PLACES
@pytest.mark.parametrize("grid", GRIDS)
def test_recon_matrix_and_field_of_view(simulated, converse, grid, gadgets):
    scan = simulated(**GRIDS[grid])
    reply = converse(scan.behind(*gadgets))
    assert reply.error is None
    (image,) = reply.images
    recon = scan.header.encoding[0].reconSpace
    assert list(image.matrix_size) == [recon.matrixSize.x, recon.matrixSize.y, 1]
    assert list(image.field_of_view) == [recon.fieldOfView_mm.x, recon.fieldOfView_mm.y, recon.fieldOfView_mm.z]
    assert scan.error_of(image) < 0.02


OVERSAMPLING = {
    "2 along the readout": {},
    "none": {"readout_oversampling": 1.0},
    "1.3 along the readout": {"readout_oversampling": 1.3},
    "along the phase encoding": {"recon_fov_mm": (240.0, 150.0), "recon_matrix": (48, 30)},
}


@pytest.mark.row("F2.11")
@PLACES
@pytest.mark.parametrize("kind", OVERSAMPLING)
def test_oversampling(simulated, converse, kind, gadgets):
    scan = simulated(**OVERSAMPLING[kind])
    reply = converse(scan.behind(*gadgets))
    assert reply.error is None
    (image,) = reply.images
    assert scan.error_of(image) < 0.02


ECHO = {
    "lines": (),
    "padded by the chain": READOUT,
    "not padded by the chain": ("NoiseAdjustGadget", "RemoveROOversamplingGadget"),
    "buffers": BUFFERS,
}


@pytest.mark.row("F2.12")
@pytest.mark.parametrize("acceleration", [1, 2], ids=["without parallelImaging", "with parallelImaging"])
@pytest.mark.parametrize("way", ECHO)
def test_asymmetric_echo(simulated, converse, way, acceleration):
    scan = simulated(asymmetric_echo=0.75, acceleration=acceleration)
    assert (scan.header.encoding[0].parallelImaging is None) == (acceleration == 1)
    reply = converse(scan.behind(*ECHO[way]))
    assert reply.error is None
    (image,) = reply.images
    assert scan.error_of(image) < 0.15
