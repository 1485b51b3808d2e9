import math
from dataclasses import replace

import numpy as np
import pytest

from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.simulation.settings import SimulationSettings

SMALL = SimulationSettings(matrix=(32, 24, 1), n_coils=4, noise_lines=4, calibration_lines=8)


@pytest.mark.parametrize("n_coils", [1, 2, 5, 32])
def test_noise_covariance_is_positive_definite(n_coils):
    settings = replace(SMALL, n_coils=n_coils, noise_correlation=0.9, noise_std=0.1)
    covariance = settings.noise_covariance
    assert np.linalg.eigvalsh(covariance)[0] > 0
    assert np.trace(covariance).real / n_coils == pytest.approx(0.01)


def test_unknown_dwell_time_means_no_scaling():
    settings = replace(SMALL, noise_dwell_us=0.0)
    np.testing.assert_array_equal(settings.noise_scan_covariance, settings.noise_covariance)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_coils", 0),
        ("matrix", (32, 0, 1)),
        ("fov_mm", (220.0, -1.0, 5.0)),
        ("recon_matrix", (0, 8)),
        ("partial_fourier", 0.5),
        ("asymmetric_echo", 1.2),
        ("calibration", "maybe"),
        ("slice_order", "random"),
        ("extra_lines", ("dummies",)),
        ("noise_std", -1.0),
        ("noise_bandwidth", 0.0),
        ("noise_correlation", 1.0),
        ("noise_gain_spread", 0.5),
        ("readout_oversampling", 0.5),
        ("acceleration_z", 2),
        ("dwell_us", -1.0),
        ("noise_std", math.inf),
        ("noise_std", math.nan),
        ("angles_deg", (0.0, math.nan, 0.0)),
        ("n_coils", 1025),
        ("n_slices", 70_000),
        ("acceleration", 300),
        ("acceleration", 7),  # of 24 lines
        ("matrix", (40_000, 24, 1)),
        ("matrix", (30_000, 30_000, 1)),
        ("readout_oversampling", 9.0),
    ],
)
def test_impossible_settings_name_themselves(name, value):
    with pytest.raises(InputError, match=rf"simulation: {name} must be"):
        replace(SMALL, **{name: value})


def test_several_slices_of_a_volume_are_impossible():
    with pytest.raises(InputError, match="n_slices must be 1 for a 3D matrix"):
        SimulationSettings(matrix=(16, 16, 8), n_slices=2)
