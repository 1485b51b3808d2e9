"""Small files in the layouts of public data sets, made of a simulated scan."""

import h5py
import numpy as np
import pytest
from ismrmrd.xsd import ToXML

from nilatron.core.fft import ifft
from nilatron.pipelines.simulation.scanned_object import object_kspace
from nilatron.pipelines.simulation.settings import SimulationSettings
from nilatron.pipelines.simulation.simulate import simulated_header

SCAN = SimulationSettings(matrix=(32, 24, 1), n_coils=4, n_slices=3, fov_mm=(200.0, 150.0, 5.0))


def rss(kspace, shape):
    """Root of the sum of squares of coil images (slice, y, x), cropped to a shape in the middle."""
    image = np.sqrt((np.abs(ifft(kspace, axes=(-2, -1))) ** 2).sum(1))
    (top, left) = ((old - new) // 2 for old, new in zip(image.shape[1:], shape, strict=True))
    return image[:, top : top + shape[0], left : left + shape[1]].astype(np.float32)


@pytest.fixture(scope="session")
def kspace():
    """K-space (slice, coil, y, x) of the encoded matrix, twice oversampled along x; its peak is about 1."""
    clean = np.stack([object_kspace(SCAN, number, 0)[:, 0] for number in range(SCAN.n_slices)])
    noise = np.random.default_rng(0).standard_normal((2, *clean.shape), dtype=np.float32)
    return (clean + np.float32(0.005) * (noise[0] + 1j * noise[1])).astype(np.complex64)


@pytest.fixture
def public_file(tmp_path):
    """Write a file in fastMRI's layout; parts are replaced by name, or left out as None."""

    def write(samples, header=None, **parts):
        path = tmp_path / "file_brain.h5"
        header = simulated_header(SCAN) if header is None else header
        whole = {
            "kspace": samples.swapaxes(-1, -2),
            "reconstruction_rss": rss(samples, (24, 32)).swapaxes(1, 2),
            "ismrmrd_header": ToXML(header).encode(),
        } | parts
        with h5py.File(path, "w") as file:
            for name, value in whole.items():
                if value is not None:
                    file[name] = value
            file.attrs["acquisition"], file.attrs["patient_id"] = "AXT2", "0" * 8
        return path

    return write


@pytest.fixture
def scan():
    return SCAN
