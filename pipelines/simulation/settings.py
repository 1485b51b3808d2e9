"""What to simulate."""

from __future__ import annotations

import math
from dataclasses import dataclass

import ismrmrd
import numpy as np
import numpy.typing as npt

from nilatron.pipelines.files.atomic import InputError

EXTRA_FLAGS = {
    "navigation": ismrmrd.ACQ_IS_NAVIGATION_DATA,
    "phase_correction": ismrmrd.ACQ_IS_PHASECORR_DATA,
    "hp_feedback": ismrmrd.ACQ_IS_HPFEEDBACK_DATA,
    "dummy": ismrmrd.ACQ_IS_DUMMYSCAN_DATA,
    "rt_feedback": ismrmrd.ACQ_IS_RTFEEDBACK_DATA,
    "surface_coil": ismrmrd.ACQ_IS_SURFACECOILCORRECTIONSCAN_DATA,
    "phase_stabilization": ismrmrd.ACQ_IS_PHASE_STABILIZATION,
}
CALIBRATIONS = ("none", "embedded", "separate")
MOST_COILS = 1024  # the channel mask of a line has no more bits
MOST_STEPS = 65535  # numbers of samples, encoding steps, slices and repetitions are 16 bits wide
MOST_BYTES = 1 << 34  # of one slice or volume of all coils
FEWEST_LINES = 4  # along an accelerated axis, beside calibration
SLICE_ORDERS = ("sequential", "interleaved", "line")


@dataclass(frozen=True)
class SimulationSettings:
    """What to simulate; the defaults are a small 2D scan, fully sampled, with a noise scan."""

    matrix: tuple[int, int, int] = (128, 128, 1)  # encoded (x, y, z) without readout oversampling; z > 1 is a 3D scan
    fov_mm: tuple[float, float, float] = (220.0, 220.0, 5.0)  # of `matrix`; z is the slice's or the slab's thickness
    recon_matrix: tuple[int, int] | None = None  # (x, y), as `matrix` by default; larger is interpolation
    recon_fov_mm: tuple[float, float] | None = None  # (x, y), as `fov_mm` by default; smaller y is phase oversampling
    readout_oversampling: float = 2.0
    image: str | None = None  # PNG or npy file (2D, or 3D: slice, y, x) in place of the phantom; it fills the recon FOV
    n_coils: int = 8
    n_slices: int = 1
    slice_order: str = "interleaved"  # "sequential", "interleaved" (0, 2, 4, 1, 3), "line" (each line of all slices)
    n_repetitions: int = 1
    n_averages: int = 1
    n_contrasts: int = 1
    acceleration: int = 1  # along y
    acceleration_z: int = 1  # along z of a 3D scan
    calibration: str = "embedded"  # "none", "embedded", "separate"; only where accelerated
    calibration_lines: int = 24  # along each accelerated axis
    partial_fourier: float = 1.0  # share of the lines along y that is acquired; the first ones are missing
    asymmetric_echo: float = 1.0  # share of the readout that is sampled; the first samples are missing
    noise_std: float = 0.02  # complex standard deviation of a sample (rms over coils); the object's peak is about 1
    noise_correlation: float = 0.3  # between neighbouring coils
    noise_gain_spread: float = 2.0  # ratio of the largest to the smallest noise standard deviation of a coil
    noise_lines: int = 16  # of the noise scan; none where noise_std is 0
    noise_bandwidth: float = 0.793  # relativeReceiverNoiseBandwidth
    dwell_us: float = 5.0  # of imaging lines, oversampling included
    noise_dwell_us: float = 7.5
    waveform_every: int = 0  # one waveform per so many lines; 0 for none
    extra_lines: tuple[str, ...] = ()  # kinds of non-imaging lines in between, see EXTRA_FLAGS
    extra_every: int = 8  # one of each kind per so many lines
    angles_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)  # of the oblique geometry about x, y and z
    centre_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)  # of the stack in patient coordinates
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what no scanner can do.

        Raises
        ------
        InputError
            Naming the setting.
        """
        at_least_one = ("n_coils", "n_slices", "n_repetitions", "n_averages", "n_contrasts", "acceleration")
        for name in (*at_least_one, "acceleration_z", "extra_every"):
            _require(getattr(self, name) >= 1, name, getattr(self, name), "1 or more")
        for name in ("matrix", "fov_mm", "recon_matrix", "recon_fov_mm"):
            value = getattr(self, name)
            _require(value is None or all(0 < v < math.inf for v in value), name, value, "positive numbers")
        for name in ("partial_fourier", "asymmetric_echo"):
            _require(0.5 < getattr(self, name) <= 1, name, getattr(self, name), "above 0.5 and at most 1")
        for name in ("dwell_us", "noise_dwell_us"):  # zero: unknown, as in some converted files
            _require(getattr(self, name) >= 0, name, getattr(self, name), "0 or more microseconds")
        for name in ("noise_std", "noise_lines", "calibration_lines", "waveform_every"):
            _require(0 <= getattr(self, name) < math.inf, name, getattr(self, name), "0 or more")
        for name in ("angles_deg", "centre_mm"):
            _require(all(map(math.isfinite, getattr(self, name))), name, getattr(self, name), "finite numbers")
        _require(0 <= self.noise_correlation < 1, "noise_correlation", self.noise_correlation, "from 0 to below 1")
        _require(self.noise_gain_spread >= 1, "noise_gain_spread", self.noise_gain_spread, "1 or more")
        _require(self.noise_bandwidth > 0, "noise_bandwidth", self.noise_bandwidth, "above 0")
        _require(1 <= self.readout_oversampling <= 8, "readout_oversampling", self.readout_oversampling, "from 1 to 8")
        _require(self.calibration in CALIBRATIONS, "calibration", self.calibration, f"one of {', '.join(CALIBRATIONS)}")
        _require(self.slice_order in SLICE_ORDERS, "slice_order", self.slice_order, f"one of {', '.join(SLICE_ORDERS)}")
        _require(
            set(self.extra_lines) <= set(EXTRA_FLAGS), "extra_lines", self.extra_lines, f"of {', '.join(EXTRA_FLAGS)}"
        )
        _require(self.matrix[2] == 1 or self.n_slices == 1, "n_slices", self.n_slices, "1 for a 3D matrix")
        _require(self.matrix[2] > 1 or self.acceleration_z == 1, "acceleration_z", self.acceleration_z, "1 for slices")
        self._refuse_nonsense()

    def _refuse_nonsense(self) -> None:
        """Refuse what no ISMRMRD file, computer or reconstruction can take."""
        _require(self.n_coils <= MOST_COILS, "n_coils", self.n_coils, f"at most {MOST_COILS}")
        for name in ("n_slices", "n_repetitions", "n_averages", "n_contrasts"):
            _require(getattr(self, name) <= MOST_STEPS, name, getattr(self, name), f"at most {MOST_STEPS}")
        _require(
            max(self.encoded_matrix) <= MOST_STEPS, "matrix", self.matrix, f"at most {MOST_STEPS} with oversampling"
        )
        n_bytes = 8 * self.n_coils * math.prod(self.encoded_matrix)
        _require(
            n_bytes <= MOST_BYTES, "matrix", self.matrix, f"smaller: it takes {n_bytes / 2**30:.0f} GiB with all coils"
        )
        for name, axis in (("acceleration", 1), ("acceleration_z", 2)):
            factor, most = getattr(self, name), max(1, self.matrix[axis] // FEWEST_LINES)
            _require(
                factor <= most,
                name,
                factor,
                f"at most {most}, which leaves {FEWEST_LINES} of {self.matrix[axis]} lines",
            )

    @property
    def encoded_matrix(self) -> tuple[int, int, int]:
        """(x, y, z) with readout oversampling."""
        return round(self.matrix[0] * self.readout_oversampling), self.matrix[1], self.matrix[2]

    @property
    def encoded_fov_mm(self) -> tuple[float, float, float]:
        """(x, y, z) with readout oversampling, exact for the rounded matrix."""
        return self.fov_mm[0] * self.encoded_matrix[0] / self.matrix[0], self.fov_mm[1], self.fov_mm[2]

    @property
    def recon_matrix_xyz(self) -> tuple[int, int, int]:
        """(x, y, z)."""
        return (*(self.recon_matrix or self.matrix[:2]), self.matrix[2])

    @property
    def recon_fov_xyz_mm(self) -> tuple[float, float, float]:
        """(x, y, z)."""
        return (*(self.recon_fov_mm or self.fov_mm[:2]), self.fov_mm[2])

    @property
    def first_line(self) -> int:
        """Position on the encoded grid of the line with index 0: partial Fourier leaves out those before."""
        n_y = self.matrix[1]
        return n_y - math.ceil(n_y * self.partial_fourier)

    @property
    def first_sample(self) -> int:
        """The same along the readout: an asymmetric echo leaves out those before."""
        n_x = self.encoded_matrix[0]
        return n_x - math.ceil(n_x * self.asymmetric_echo)

    @property
    def is_accelerated(self) -> bool:
        """Whether lines are left out along y or z."""
        return self.acceleration > 1 or self.acceleration_z > 1

    @property
    def noise_covariance(self) -> npt.NDArray[np.complex128]:
        """Noise covariance E n n^H of an imaging sample, (coil, coil); its mean variance is noise_std^2."""
        place = np.arange(self.n_coils)
        distance = place[:, None] - place
        correlation = self.noise_correlation ** np.abs(distance) * np.exp(0.7j * distance)
        gains = self.noise_gain_spread ** (np.modf(place * 0.618)[0] if self.n_coils > 1 else np.zeros(1))
        gains = gains * (self.noise_std / math.sqrt(np.mean(gains**2)))
        covariance: npt.NDArray[np.complex128] = correlation * gains[:, None] * gains
        return covariance

    @property
    def noise_scan_covariance(self) -> npt.NDArray[np.complex128]:
        """Covariance of a noise-scan sample: noise_covariance * dwell / noise dwell * bandwidth ratio.

        The factor is 1 where a dwell time is unknown (0), as for the stock whitening.
        """
        scale = 1.0
        if self.dwell_us and self.noise_dwell_us:
            scale = self.dwell_us / self.noise_dwell_us * self.noise_bandwidth
        return self.noise_covariance * scale


def _require(condition: bool, name: str, value: object, expected: str) -> None:
    if not condition:
        raise InputError(f"simulation: {name} must be {expected}, got {value!r}")
