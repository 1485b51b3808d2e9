from pathlib import Path

import numpy as np
import pytest

from nilatron.core.fft import fft
from nilatron.core.phantom import coil_maps, phantom

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"


@pytest.fixture
def real():
    """Paths of real scans; a test that asks for one that is not there skips."""

    def find(name):
        if not (SHARED / name).exists():
            pytest.skip(f"the shared development data are not beside the checkout: {name}")
        return SHARED / name

    return find


@pytest.fixture(scope="module")
def scan():
    """K-space (coil, y, x) of a phantom with correlated noise, every second line and 16 in the middle; and its covariance."""
    rng = np.random.default_rng(3)
    image, maps = phantom((1, 64, 48)), coil_maps(4, (1, 64, 48))
    mixing = np.eye(4) + 0.3 * (rng.standard_normal((4, 4)) + 1j * rng.standard_normal((4, 4)))
    noise = rng.standard_normal((4, 1, 64, 48, 2)) @ np.array([1, 1j]) * np.sqrt(0.5)
    sigma = 0.02
    kspace = fft(maps * image) + sigma * np.einsum("cd,dzyx->czyx", mixing, noise)
    lines = np.arange(64)
    kspace *= ((lines % 2 == 0) | (abs(lines - 32) < 8))[:, None]
    return (
        kspace[:, 0].astype(np.complex64),
        (sigma**2 * mixing @ mixing.conj().T).astype(np.complex64),
        np.abs(image[0]),
    )
