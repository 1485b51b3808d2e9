import ismrmrd
import numpy as np
import pytest

from nilatron.pipelines.simulation.header import simulated_header


@pytest.fixture
def lines_of():
    """Items to the acquisitions that are no noise scan."""

    def lines(items):
        acquisitions = [item for item in items if isinstance(item, ismrmrd.Acquisition)]
        return [line for line in acquisitions if not line.isFlagSet(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)]

    return lines


@pytest.fixture
def object_kspace():
    """Settings and lines to k-space (coil, z, y, x): by what header and lines say, as a reconstruction must."""

    def grid(settings, lines):
        header = simulated_header(settings)
        matrix, limits = header.encoding[0].encodedSpace.matrixSize, header.encoding[0].encodingLimits
        kspace = np.zeros((settings.n_coils, matrix.z, matrix.y, matrix.x), np.complex64)
        for line in lines:
            y = line.idx.kspace_encode_step_1 + matrix.y // 2 - limits.kspace_encoding_step_1.center
            z = line.idx.kspace_encode_step_2 + matrix.z // 2 - limits.kspace_encoding_step_2.center
            start = matrix.x // 2 - line.center_sample
            kspace[:, z, y, start : start + line.number_of_samples] = line.data
        return kspace

    return grid
