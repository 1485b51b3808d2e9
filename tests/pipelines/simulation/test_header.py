from dataclasses import replace

import ismrmrd
import pytest

from nilatron.pipelines.files.header import parse_header
from nilatron.pipelines.simulation.header import simulated_header
from nilatron.pipelines.simulation.settings import SimulationSettings

SMALL = SimulationSettings(matrix=(32, 24, 1), n_coils=4)


def xyz(triple):
    return triple.x, triple.y, triple.z


def test_header_survives_the_way_through_xml():
    header = simulated_header(replace(SMALL, acceleration=2, waveform_every=4))
    assert parse_header(ismrmrd.xsd.ToXML(header)) == header


def test_spaces_with_oversampling_and_another_recon_matrix():
    settings = replace(
        SMALL,
        readout_oversampling=2.0,
        fov_mm=(320.0, 240.0, 5.0),
        recon_fov_mm=(320.0, 180.0),
        recon_matrix=(64, 36),
    )
    encoded, recon = (getattr(simulated_header(settings).encoding[0], name) for name in ("encodedSpace", "reconSpace"))
    assert (xyz(encoded.matrixSize), xyz(encoded.fieldOfView_mm)) == ((64, 24, 1), (640.0, 240.0, 5.0))
    assert (xyz(recon.matrixSize), xyz(recon.fieldOfView_mm)) == ((64, 36, 1), (320.0, 180.0, 5.0))


def test_limits_count_what_is_acquired():
    settings = replace(SMALL, n_slices=3, n_repetitions=2, n_averages=4, n_contrasts=5, partial_fourier=0.75)
    limits = simulated_header(settings).encoding[0].encodingLimits
    step = limits.kspace_encoding_step_1
    assert (step.minimum, step.maximum, step.center) == (0, 17, 6)
    found = [getattr(limits, name).maximum for name in ("slice", "repetition", "average", "contrast", "set")]
    assert found == [2, 1, 3, 4, 0]


@pytest.mark.parametrize("calibration", ["embedded", "separate", "none"])
def test_parallel_imaging_is_described_where_there_is_any(calibration):
    assert simulated_header(SMALL).encoding[0].parallelImaging is None
    imaging = simulated_header(replace(SMALL, acceleration=3, calibration=calibration)).encoding[0].parallelImaging
    assert imaging.accelerationFactor.kspace_encoding_step_1 == 3
    assert imaging.calibrationMode.value == {"none": "other"}.get(calibration, calibration)


def test_system_and_no_version_that_a_server_could_refuse():
    header = simulated_header(SMALL)
    assert header.version is None
    assert header.acquisitionSystemInformation.receiverChannels == 4
    assert header.acquisitionSystemInformation.relativeReceiverNoiseBandwidth == SMALL.noise_bandwidth
