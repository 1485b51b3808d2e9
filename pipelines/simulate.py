"""A scan that never happened: a phantom or an image to an ISMRMRD raw file, as a scanner would stream it.

The object is drawn on the encoded (oversampled) field of view as voxel averages, multiplied by the coils and
transformed: y = F S x + n. So the measurement model of the reconstruction holds exactly, and the noise-free image of
all lines is x itself. In k-space units x is at most about 1 and noise has the complex standard deviation `noise_std`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import ismrmrd
import ismrmrd.hdf5
import ismrmrd.xsd as xsd
import numpy as np
import numpy.typing as npt
from PIL import Image as Picture

from nilatron.core.fft import fft, ifft
from nilatron.core.phantom import coil_maps, phantom, positions, smooth_phase
from nilatron.pipelines.data import InputError, atomic_path

logger = logging.getLogger(__name__)

ComplexArray = npt.NDArray[np.complex64]

OBJECT_SHARE = 0.92  # of the smaller of encoded and recon field of view is the phantom's box
SLICE_RANGE = 0.7  # of the box along z is covered by slices
SLICE_THICKNESS = 0.05  # of the box at most, so that structures stay sharp
WRITE_LINES = 256
TICKS_PER_LINE = 4  # time stamps count 2.5 ms
ECG_CHANNELS, ECG_SAMPLES = 2, 8
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
            _require(getattr(self, name) >= 0, name, getattr(self, name), "0 or more")
        _require(0 <= self.noise_correlation < 1, "noise_correlation", self.noise_correlation, "from 0 to below 1")
        _require(self.noise_gain_spread >= 1, "noise_gain_spread", self.noise_gain_spread, "1 or more")
        _require(self.noise_bandwidth > 0, "noise_bandwidth", self.noise_bandwidth, "above 0")
        _require(self.readout_oversampling >= 1, "readout_oversampling", self.readout_oversampling, "1 or more")
        _require(self.calibration in CALIBRATIONS, "calibration", self.calibration, f"one of {', '.join(CALIBRATIONS)}")
        _require(self.slice_order in SLICE_ORDERS, "slice_order", self.slice_order, f"one of {', '.join(SLICE_ORDERS)}")
        _require(
            set(self.extra_lines) <= set(EXTRA_FLAGS), "extra_lines", self.extra_lines, f"of {', '.join(EXTRA_FLAGS)}"
        )
        _require(self.matrix[2] == 1 or self.n_slices == 1, "n_slices", self.n_slices, "1 for a 3D matrix")
        _require(self.matrix[2] > 1 or self.acceleration_z == 1, "acceleration_z", self.acceleration_z, "1 for slices")

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


class Line(NamedTuple):
    """One line to be acquired, before it has data."""

    slice: int
    contrast: int
    average: int
    repetition: int
    y: int  # positions on the encoded grid
    z: int
    flags: tuple[int, ...] = ()


def simulate(path: str | Path, settings: SimulationSettings, *, group: str = "dataset", overwrite: bool = False) -> int:
    """Write the scan as an ISMRMRD raw file, whole or not at all.

    Returns
    -------
    Number of lines, noise scan included.

    Raises
    ------
    InputError
        When the file exists (unless `overwrite`), cannot be written, or the settings' image cannot be read.
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise InputError(f"{path}: exists; choose another name or replace it with --overwrite")
    with atomic_path(path) as temporary, h5py.File(temporary, "x") as file:
        target = file.create_group(group)
        # readers written in C ask for a string without a character set and HDF5 does not convert between sets
        xml = target.create_dataset("xml", (1,), h5py.special_dtype(vlen=bytes))
        xml[0] = xsd.ToXML(simulated_header(settings)).encode()
        n_lines = _write(target, simulate_stream(settings))
    logger.info("%s: %d lines of %d coils", path, n_lines, settings.n_coils)
    return n_lines


def simulate_items(
    settings: SimulationSettings,
) -> tuple[xsd.ismrmrdHeader, list[ismrmrd.Acquisition | ismrmrd.Waveform]]:
    """Return header and items of the scan in memory, in time order."""
    return simulated_header(settings), list(simulate_stream(settings))


def ground_truth(settings: SimulationSettings, slice_index: int = 0, contrast: int = 0) -> ComplexArray:
    """Noise-free image of all lines, coil-combined, cropped to the recon field of view and brought to the recon matrix.

    Returns
    -------
    Complex64 (z, y, x) on the recon grid; intensities do not depend on the matrix.
    """
    return to_recon_grid(settings, _object(settings, slice_index, contrast))


def to_recon_grid(settings: SimulationSettings, image: ComplexArray) -> ComplexArray:
    """Crop an image (z, y, x) of the encoded space to the recon field of view, and interpolate to the recon matrix."""
    for axis, place in ((-1, 0), (-2, 1)):
        ratio = settings.recon_fov_xyz_mm[place] / settings.encoded_fov_mm[place]
        image = _resize(image, axis, round(image.shape[axis] * ratio))
    n_x, n_y, _ = settings.recon_matrix_xyz
    scale = math.sqrt(n_x * n_y / (image.shape[-1] * image.shape[-2]))
    if image.shape[-2:] == (n_y, n_x):
        return image
    kspace = _resize(_resize(fft(image, axes=(-2, -1)), -1, n_x), -2, n_y)
    return np.asarray(ifft(kspace, axes=(-2, -1)) * np.float32(scale), np.complex64)


# --- object ----------------------------------------------------------------------------------------------------------


def _geometry(settings: SimulationSettings, slice_index: int) -> dict[str, Any]:
    """Shape, field of view and centre of the encoded space, relative to the object's box."""
    n_x, n_y, n_z = settings.encoded_matrix
    box = [OBJECT_SHARE * min(pair) for pair in zip(settings.fov_mm, settings.recon_fov_xyz_mm, strict=True)]
    fov_x, fov_y, fov_z = (f / b for f, b in zip(settings.encoded_fov_mm, box, strict=True))
    centre = 0.0
    if n_z == 1:
        fov_z = min(SLICE_RANGE / settings.n_slices, SLICE_THICKNESS)
        centre = 2 * SLICE_RANGE * (slice_index - (settings.n_slices - 1) / 2) / settings.n_slices
    return {"shape": (n_z, n_y, n_x), "field_of_view": (fov_z, fov_y, fov_x), "centre": (centre, 0.0, 0.0)}


def _object(settings: SimulationSettings, slice_index: int, contrast: int) -> ComplexArray:
    """Draw the object on the encoded grid, complex64 (z, y, x)."""
    geometry = _geometry(settings, slice_index)
    drawn = phantom(**geometry) if settings.image is None else _from_file(settings, slice_index, geometry)
    if contrast:
        drawn = drawn * np.abs(drawn) ** (0.6 * contrast)  # later echoes: the same structures, other intensities
    return np.asarray(drawn, np.complex64)


def _from_file(settings: SimulationSettings, slice_index: int, geometry: dict[str, Any]) -> ComplexArray:
    """Read the image file and let it fill the recon field of view of the encoded grid."""
    stack = _read_image(str(settings.image))
    n_z, n_y, n_x = geometry["shape"]
    share = [r / e for r, e in zip(settings.recon_fov_xyz_mm, settings.encoded_fov_mm, strict=True)]
    size = (round(n_x * share[0]), round(n_y * share[1]))
    chosen = stack[np.arange(n_z) * len(stack) // n_z] if n_z > 1 else stack[[slice_index % len(stack)]]
    resized = np.stack([_resample(plane, size) for plane in chosen])
    if not np.iscomplexobj(stack):
        axes = zip(resized.shape, (1.0, 1.0, 1.0), geometry["centre"], strict=True)
        resized = resized * smooth_phase(*(positions(n, f, c) for n, f, c in axes))
    return _resize(_resize(resized.astype(np.complex64), -1, n_x), -2, n_y)


@lru_cache(maxsize=2)
def _read_image(path: str) -> npt.NDArray[Any]:
    """Planes (z, y, x), real or complex, with peak magnitude 1."""
    try:
        if path.endswith(".npy"):
            image: npt.NDArray[Any] = np.load(path, allow_pickle=False)
        else:
            with Picture.open(path) as picture:
                image = np.asarray(picture.convert("F"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: is not an image (PNG, npy) that can be read: {error}") from error
    image = image.astype(np.complex64 if np.iscomplexobj(image) else np.float32)
    if image.ndim not in (2, 3) or not image.size or not np.isfinite(image).all() or not image.any():
        raise InputError(
            f"{path}: an image must be (y, x) or (slice, y, x), finite and not all zero; got shape {image.shape}"
        )
    image /= np.abs(image).max()
    return image.reshape(-1, *image.shape[-2:])


def _resample(plane: npt.NDArray[Any], size: tuple[int, int]) -> npt.NDArray[Any]:
    """Resize with antialiasing to (x, y) = size."""
    if np.iscomplexobj(plane):
        resampled: npt.NDArray[Any] = _resample(plane.real, size) + 1j * _resample(plane.imag, size)
        return resampled
    if plane.shape == size[::-1]:
        return plane
    picture = Picture.fromarray(np.ascontiguousarray(plane, np.float32))
    return np.asarray(picture.resize(size, Picture.Resampling.BICUBIC))


def _resize(array: ComplexArray, axis: int, n_new: int) -> ComplexArray:
    """Crop or zero-pad along one axis, the centre n // 2 staying the centre."""
    n_old = array.shape[axis]
    shift = n_new // 2 - n_old // 2
    if shift > 0 or n_new > n_old:
        padding = [(0, 0)] * array.ndim
        padding[axis] = (shift, n_new - n_old - shift)
        return np.pad(array, padding)
    return np.take(array, range(-shift, -shift + n_new), axis=axis)


def _kspace(settings: SimulationSettings, slice_index: int, contrast: int) -> ComplexArray:
    """Noise-free k-space of all lines, complex64 (coil, z, y, x)."""
    maps = coil_maps(settings.n_coils, **_geometry(settings, slice_index))
    maps *= _object(settings, slice_index, contrast)
    return np.asarray(fft(maps), np.complex64)


# --- order of the lines ----------------------------------------------------------------------------------------------


def slice_order(settings: SimulationSettings) -> list[int]:
    """Slices in the order of their acquisition."""
    slices = list(range(settings.n_slices))
    return slices[::2] + slices[1::2] if settings.slice_order == "interleaved" else slices


def _phase_encodes(settings: SimulationSettings) -> tuple[list[Line], list[Line]]:
    """Calibration lines of their own, and imaging lines with embedded calibration, of one slice."""
    _, n_y, n_z = settings.matrix
    grid = {
        (z, y)
        for z, y in product(range(n_z), range(settings.first_line, n_y))
        if (y - n_y // 2) % settings.acceleration == 0 and (z - n_z // 2) % settings.acceleration_z == 0
    }
    block: set[tuple[int, int]] = set()
    if settings.is_accelerated and settings.calibration != "none":
        n_block = settings.calibration_lines
        rows, planes = _middle(n_y, n_block), _middle(n_z, n_block if settings.acceleration_z > 1 else n_z)
        block = {(z, y) for z, y in product(planes, rows) if y >= settings.first_line}
    if settings.calibration == "separate":
        flag = (ismrmrd.ACQ_IS_PARALLEL_CALIBRATION,)
        separate = [Line(0, 0, 0, 0, y, z, flag) for z, y in sorted(block)]
        return separate, [Line(0, 0, 0, 0, y, z) for z, y in sorted(grid)]
    both, only = ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING, ismrmrd.ACQ_IS_PARALLEL_CALIBRATION
    flags = {place: (() if place not in block else (both,) if place in grid else (only,)) for place in grid | block}
    return [], [Line(0, 0, 0, 0, y, z, flags[z, y]) for z, y in sorted(flags)]


def _middle(n: int, n_block: int) -> range:
    first = max(n // 2 - n_block // 2, 0)
    return range(first, min(first + n_block, n))


def _passes(settings: SimulationSettings) -> Iterator[list[Line]]:
    """Lines of one contrast of one repetition, all slices and averages, in order of time."""
    separate, imaging = _phase_encodes(settings)
    order = slice_order(settings)
    for repetition, contrast in product(range(settings.n_repetitions), range(settings.n_contrasts)):
        one = [line._replace(repetition=repetition, contrast=contrast) for line in imaging]
        averaged = [line._replace(average=average) for average in range(settings.n_averages) for line in one]
        first_pass = repetition == 0 and contrast == 0
        per_slice = [
            [line._replace(slice=index) for line in [*(separate if first_pass else []), *averaged]] for index in order
        ]
        if settings.slice_order == "line":
            yield [line for lines in zip(*per_slice, strict=True) for line in lines]
        else:
            yield [line for lines in per_slice for line in lines]


def _flagged(lines: list[Line], settings: SimulationSettings) -> Iterator[Line]:
    """Add FIRST and LAST flags: of average and slice among the lines of that slice, of the rest among all of them."""
    extent: dict[tuple[str, int, int], list[int]] = {}
    for number, line in enumerate(lines):
        if ismrmrd.ACQ_IS_PARALLEL_CALIBRATION in line.flags and settings.calibration == "separate":
            continue
        for key in (("SLICE", line.slice, 0), ("AVERAGE", line.slice, line.average), ("CONTRAST", 0, 0)):
            extent.setdefault(key, [number, number])[1] = number
    added: dict[int, list[int]] = {}
    for (name, _, _), (first, last) in extent.items():
        added.setdefault(first, []).append(getattr(ismrmrd, f"ACQ_FIRST_IN_{name}"))
        added.setdefault(last, []).append(getattr(ismrmrd, f"ACQ_LAST_IN_{name}"))
    first, last = extent["CONTRAST", 0, 0]
    if lines[last].contrast == 0:
        added[first].append(ismrmrd.ACQ_FIRST_IN_REPETITION)
    if lines[last].contrast == settings.n_contrasts - 1:
        added[last].append(ismrmrd.ACQ_LAST_IN_REPETITION)
        if lines[last].repetition == settings.n_repetitions - 1:
            added[last].append(ismrmrd.ACQ_LAST_IN_MEASUREMENT)
    for number, line in enumerate(lines):
        yield line._replace(flags=(*line.flags, *added.get(number, ())))


# --- the stream ------------------------------------------------------------------------------------------------------


class _Scanner:
    """Turns lines into acquisitions: data, noise, header, counters."""

    def __init__(self, settings: SimulationSettings) -> None:
        self.settings = settings
        self.rng = np.random.default_rng(settings.seed)
        self.n_lines = 0
        self.rotation = _rotation(settings.angles_deg)
        if settings.noise_std:
            self.root = np.linalg.cholesky(settings.noise_covariance).astype(np.complex64)
            self.scan_root = np.linalg.cholesky(settings.noise_scan_covariance).astype(np.complex64)
        n_kept = settings.n_slices if settings.slice_order == "line" else 1
        n_bytes = 8 * settings.n_coils * math.prod(settings.encoded_matrix)
        if settings.n_repetitions > 1 and settings.n_slices * settings.n_contrasts * n_bytes < 2**28:
            n_kept = settings.n_slices * settings.n_contrasts
        self.kspace = lru_cache(maxsize=n_kept)(lambda index, contrast: _kspace(settings, index, contrast))

    def noise(self, root: ComplexArray, n_samples: int) -> ComplexArray:
        """Noise (coil, sample) of covariance root root^H."""
        white = self.rng.standard_normal((len(root), 2 * n_samples), dtype=np.float32).view(np.complex64)
        return np.asarray(root @ white * np.float32(math.sqrt(0.5)), np.complex64)

    def noise_line(self) -> ismrmrd.Acquisition:
        """One line of the noise scan."""
        acquisition = self._acquisition(self.noise(self.scan_root, self.settings.encoded_matrix[0]))
        acquisition.sample_time_us = self.settings.noise_dwell_us
        acquisition.set_flag(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
        return acquisition

    def line(self, line: Line) -> ismrmrd.Acquisition:
        """One line of the object."""
        first = self.settings.first_sample
        data = self.kspace(line.slice, line.contrast)[:, line.z, line.y, first:]
        if self.settings.noise_std:
            data = data + self.noise(self.root, data.shape[-1])
        acquisition = self._acquisition(data)
        self._place(acquisition, line)
        for flag in line.flags:
            acquisition.set_flag(flag)
        return acquisition

    def extra_line(self, line: Line, kind: str) -> ismrmrd.Acquisition:
        """One line which is no part of the image, but has the indices of one and a strong signal."""
        data = self.kspace(line.slice, line.contrast)[
            :, line.z, self.settings.matrix[1] // 2, self.settings.first_sample :
        ]
        acquisition = self._acquisition(data[:, ::-1] * np.complex64(2j))
        self._place(acquisition, line)
        acquisition.set_flag(EXTRA_FLAGS[kind])
        return acquisition

    def waveform(self) -> ismrmrd.Waveform:
        """Return a few samples of an electrocardiogram, as old as the next line."""
        time = np.arange(ECG_SAMPLES) + ECG_SAMPLES * self.n_lines
        data = np.stack([2048 + 500 * np.sin(2 * np.pi * time / (100 + channel)) for channel in range(ECG_CHANNELS)])
        return ismrmrd.Waveform.from_array(
            data.astype(np.uint32),
            waveform_id=0,
            sample_time_us=2500.0,
            time_stamp=TICKS_PER_LINE * self.n_lines,
            scan_counter=self.n_lines,
            measurement_uid=1,
        )

    def _acquisition(self, data: ComplexArray) -> ismrmrd.Acquisition:
        head = ismrmrd.AcquisitionHeader()
        head.version, head.measurement_uid = 1, 1
        head.active_channels, head.number_of_samples = data.shape
        head.available_channels = data.shape[0]
        for channel in range(data.shape[0]):
            head.channel_mask[channel // 64] |= 1 << (channel % 64)
        head.scan_counter = self.n_lines
        head.acquisition_time_stamp = TICKS_PER_LINE * self.n_lines
        head.sample_time_us = self.settings.dwell_us
        self.n_lines += 1
        return ismrmrd.Acquisition(head, np.ascontiguousarray(data, np.complex64))

    def _place(self, acquisition: ismrmrd.Acquisition, line: Line) -> None:
        """Set indices and geometry."""
        settings, index = self.settings, acquisition.idx
        index.kspace_encode_step_1, index.kspace_encode_step_2 = line.y - settings.first_line, line.z
        index.slice, index.contrast, index.average, index.repetition = line[:4]
        acquisition.center_sample = settings.encoded_matrix[0] // 2 - settings.first_sample
        offset = (line.slice - (settings.n_slices - 1) / 2) * settings.fov_mm[2] if settings.matrix[2] == 1 else 0.0
        acquisition.position[:] = tuple(np.asarray(settings.centre_mm) + offset * self.rotation[:, 2])
        acquisition.read_dir[:], acquisition.phase_dir[:], acquisition.slice_dir[:] = map(tuple, self.rotation.T)


def simulate_stream(settings: SimulationSettings) -> Iterator[ismrmrd.Acquisition | ismrmrd.Waveform]:
    """Acquire: the noise scan, then lines with waveforms and non-imaging lines in between, in time order."""
    scanner = _Scanner(settings)
    for _ in range(settings.noise_lines if settings.noise_std else 0):
        yield scanner.noise_line()
    lines = (line for one_pass in _passes(settings) for line in _flagged(one_pass, settings))
    for number, line in enumerate(lines):
        if settings.waveform_every and number % settings.waveform_every == 0:
            yield scanner.waveform()
        yield scanner.line(line)
        if number % settings.extra_every == settings.extra_every // 2:
            for kind in settings.extra_lines:
                yield scanner.extra_line(line, kind)


def _rotation(angles_deg: tuple[float, float, float]) -> npt.NDArray[np.float64]:
    """Rotation about x, then y, then z; its columns are read, phase and slice direction."""
    rotation = np.eye(3)
    for axis, angle in enumerate(np.radians(angles_deg)):
        first, second = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(3)
        turn[[first, second], [first, second]] = np.cos(angle)
        turn[second, first], turn[first, second] = np.sin(angle), -np.sin(angle)
        rotation = turn @ rotation
    return rotation


# --- header and file -------------------------------------------------------------------------------------------------


def simulated_header(settings: SimulationSettings) -> xsd.ismrmrdHeader:
    """Describe the scan; without a version, as servers refuse headers of another version than their own."""
    header = xsd.ismrmrdHeader(
        experimentalConditions=xsd.experimentalConditionsType(H1resonanceFrequency_Hz=127_740_000),
        # stock whitening fails without a patient ID
        subjectInformation=xsd.subjectInformationType(patientID="phantom"),
        measurementInformation=xsd.measurementInformationType(
            measurementID="1", protocolName="simulation", patientPosition=xsd.patientPositionType.HFS
        ),
        acquisitionSystemInformation=xsd.acquisitionSystemInformationType(
            systemVendor="nilatron simulate",
            systemFieldStrength_T=3.0,
            relativeReceiverNoiseBandwidth=settings.noise_bandwidth,
            receiverChannels=settings.n_coils,
        ),
    )
    encoding = xsd.encodingType(
        encodedSpace=_space(settings.encoded_matrix, settings.encoded_fov_mm),
        reconSpace=_space(settings.recon_matrix_xyz, settings.recon_fov_xyz_mm),
        trajectory=xsd.trajectoryType.CARTESIAN,
        encodingLimits=_limits(settings),
    )
    if settings.is_accelerated:
        encoding.parallelImaging = xsd.parallelImagingType(
            accelerationFactor=xsd.accelerationFactorType(
                kspace_encoding_step_1=settings.acceleration, kspace_encoding_step_2=settings.acceleration_z
            ),
            calibrationMode=xsd.calibrationModeType(
                "other" if settings.calibration == "none" else settings.calibration
            ),
        )
    header.encoding = [encoding]
    if settings.waveform_every:
        header.waveformInformation = [
            xsd.waveformInformationType(
                waveformName="ECG",
                waveformType=xsd.waveformInformationTypeWaveformType.ECG,
                userParameters=xsd.userParametersType(),
            )
        ]
    return header


def _space(matrix: tuple[int, int, int], fov_mm: tuple[float, float, float]) -> xsd.encodingSpaceType:
    return xsd.encodingSpaceType(
        matrixSize=xsd.matrixSizeType(**dict(zip("xyz", matrix, strict=True))),
        fieldOfView_mm=xsd.fieldOfViewMm(**dict(zip("xyz", map(float, fov_mm), strict=True))),
    )


def _limits(settings: SimulationSettings) -> xsd.encodingLimitsType:
    def limit(n: int, center: int = 0) -> xsd.limitType:
        return xsd.limitType(minimum=0, maximum=n - 1, center=center)

    n_x, n_y, n_z = settings.encoded_matrix
    return xsd.encodingLimitsType(
        kspace_encoding_step_0=limit(n_x, n_x // 2),
        kspace_encoding_step_1=limit(n_y - settings.first_line, n_y // 2 - settings.first_line),
        kspace_encoding_step_2=limit(n_z, n_z // 2),
        slice=limit(settings.n_slices),
        average=limit(settings.n_averages),
        contrast=limit(settings.n_contrasts),
        repetition=limit(settings.n_repetitions),
        phase=limit(1),
        set=limit(1),
        segment=limit(1),
    )


def _write(group: h5py.Group, items: Iterable[ismrmrd.Acquisition | ismrmrd.Waveform]) -> int:
    """Write items in blocks of lines; return the number of lines."""
    tables = {
        name: group.create_dataset(name, (0,), dtype, maxshape=(None,), chunks=(WRITE_LINES,))
        for name, dtype in (("data", ismrmrd.hdf5.acquisition_dtype),)
    }
    waiting: dict[str, list[Any]] = {"data": [], "waveforms": []}
    for item in items:
        name = "data" if isinstance(item, ismrmrd.Acquisition) else "waveforms"
        if name not in tables:
            dtype = ismrmrd.hdf5.waveform_dtype
            tables[name] = group.create_dataset(name, (0,), dtype, maxshape=(None,), chunks=(WRITE_LINES,))
        waiting[name].append(item)
        if len(waiting[name]) == WRITE_LINES:
            _append(tables[name], waiting[name])
            waiting[name] = []
    for name, table in tables.items():
        _append(table, waiting[name])
    return int(tables["data"].shape[0])


def _append(table: h5py.Dataset, items: list[Any]) -> None:
    if not items:
        return
    rows = np.zeros(len(items), table.dtype)
    heads = b"".join(bytes(item.getHead()) for item in items)
    rows["head"] = np.frombuffer(heads, table.dtype["head"])
    for row, item in zip(rows, items, strict=True):
        row["data"] = item.data.reshape(-1).view(np.float32 if "traj" in rows.dtype.names else np.uint32)
        if "traj" in rows.dtype.names:
            row["traj"] = np.zeros(0, np.float32)
    start = table.shape[0]
    table.resize(start + len(items), axis=0)
    table[start:] = rows


def _require(condition: bool, name: str, value: object, expected: str) -> None:
    if not condition:
        raise InputError(f"simulation: {name} must be {expected}, got {value!r}")
