"""SigPy's SENSE, l1-wavelet and ESPIRiT apps (PyPI sigpy), on the planes (coil, y, x) of a slice.

Its Fourier transform is centred and orthonormal like ours, its lambda that of |A x - y|^2 / 2 in the units of the data, which
are those of our noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from bart import oracle
from nilatron.core.backend import ComplexArray
from peers.case import Case
from peers.maps import map_error
from peers.measurement import Measurement, RunSettings, timed

LAMBDAS = tuple(0.0025 * 2 ** (i / 2) for i in range(30))  # noise has standard deviation 1
LIKELY_WAVELET, LIKELY_SENSE = 18, 8
EIGENVALUE_THRESHOLD = 0.001  # ours and BART's, of the squared singular values
CROP, N_POWER_ITERATIONS = 0.8, 30


def measure(case: Case, variant: str, settings: RunSettings) -> Measurement:
    """Variant: "l1-wavelet", "sense" or "maps"."""
    from sigpy.mri import app  # type: ignore[import-not-found,import-untyped,unused-ignore]

    kspace, maps = case.kspace[:, 0], case.maps[:, 0]
    if variant == "maps":
        return calibrate(app.EspiritCalib, case, settings)
    name, start = {"l1-wavelet": ("L1WaveletRecon", LIKELY_WAVELET), "sense": ("SenseRecon", LIKELY_SENSE)}[variant]
    reconstruction = getattr(app, name)

    def reconstruct(value: float) -> ComplexArray:
        image: ComplexArray = reconstruction(kspace, maps, lamda=value, show_pbar=False).run()
        return image

    quality, value = oracle(lambda value: case.psnr(reconstruct(value)), start=start, grid=LAMBDAS)
    _, seconds, rounds = timed(lambda: reconstruct(value), settings.rounds)
    return Measurement(seconds, rounds, quality, note=f"lambda {value:.3g} by oracle; 100 iterations")


def calibrate(calibration: Callable[..., object], case: Case, settings: RunSettings) -> Measurement:
    """ESPIRiT with our settings: 24 lines, windows of 6, the same threshold, crop and number of power iterations."""

    def run() -> ComplexArray:
        app = calibration(
            case.kspace[:, 0],
            calib_width=case.calibration.shape[2],
            thresh=math.sqrt(EIGENVALUE_THRESHOLD),
            kernel_width=6,
            crop=CROP,
            max_iter=N_POWER_ITERATIONS,
            show_pbar=False,
        )
        maps: ComplexArray = app.run()  # type: ignore[attr-defined]
        return maps[:, None]

    maps, seconds, rounds = timed(run, settings.rounds)
    error = map_error(np.asarray(maps, np.complex64), case)
    return Measurement(
        seconds, rounds, map_error=error, note="threshold, crop and iterations as ours, not its defaults"
    )
