"""The cases of the comparison: a measured brain with added noise, and a simulated head whose truth is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from nilatron.core.backend import ComplexArray, complex_normal, percentile
from nilatron.core.coils.espirit import espirit_maps
from nilatron.pipelines.simulation.scanned_object import ground_truth, object_kspace
from nilatron.pipelines.simulation.settings import SimulationSettings
from peers.case import Case
from scans import BRAIN, Scan, combined, full_scan_maps, load_brain, undersample, with_noise

ACCELERATION = 4
ADDED_NOISE = (0, 2, 4)
SIMULATED_NOISE = (0.03, 0.1)
SIMULATED_COILS, SIMULATED_SIZE = 16, 256


@dataclass(frozen=True)
class CaseSource:
    """A case by name, and how it is made."""

    name: str
    title: str
    make: Callable[[], Case]


def brain(folder: Path, added_noise: int) -> Case:
    """The scan of `scans.load_brain`, whitened, with more of its own noise; reference: all lines of all coils."""
    full = load_brain(folder)
    return _case(undersample(with_noise(full, added_noise, seed=0), ACCELERATION), combined(full, full_scan_maps(full)))


def simulated(sigma_y: float) -> Case:
    """The phantom in SNR units, its noise `sigma_y` of the image scale; reference: the phantom itself."""
    settings = SimulationSettings(
        matrix=(SIMULATED_SIZE, SIMULATED_SIZE, 1), n_coils=SIMULATED_COILS, readout_oversampling=1.0
    )
    truth = ground_truth(settings)
    scale = np.float32(1 / (sigma_y * percentile(np.abs(truth), 99.5)))
    clean: ComplexArray = object_kspace(settings, 0, 0) * scale
    noisy: ComplexArray = clean + complex_normal(np.random.default_rng(0), clean.shape, clean)
    return _case(undersample(noisy, ACCELERATION), truth * scale)


def sources(data: Path | None) -> list[CaseSource]:
    """All cases; those of the brain only where its file is in `data`."""
    found = []
    if data is not None and (data / BRAIN).is_file():
        for noise in ADDED_NOISE:
            title = "brain, 8 coils, R=4, " + (f"{noise}x noise added" if noise else "as scanned")
            found.append(CaseSource(f"brain{noise}x", title, partial(brain, data, noise)))
    for sigma_y in SIMULATED_NOISE:
        title = f"simulated {SIMULATED_SIZE}x{SIMULATED_SIZE}, {SIMULATED_COILS} coils, R=4, noise {sigma_y:g}"
        found.append(CaseSource(f"simulated{sigma_y:g}", title, partial(simulated, sigma_y)))
    return found


def _case(scan: Scan, reference: ComplexArray) -> Case:
    maps = espirit_maps(scan.calibration, scan.shape)
    return Case(scan.kspace, scan.counts, scan.calibration, maps, reference)
