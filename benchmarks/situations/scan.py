"""A scan that can be edited: header, lines, truth of each image; and the registry of situations, which are edits."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import h5py
import ismrmrd
import numpy as np
import numpy.typing as npt

from nilatron.core.backend import ComplexArray
from nilatron.core.fft import ifft
from nilatron.pipelines.simulation.scanned_object import object_kspace, to_recon_grid
from nilatron.pipelines.simulation.settings import SimulationSettings
from nilatron.pipelines.simulation.simulate import simulate_items

Right = Literal["image", "told", "refused"]
NOISE = ismrmrd.ACQ_IS_NOISE_MEASUREMENT
CALIBRATION, BOTH = ismrmrd.ACQ_IS_PARALLEL_CALIBRATION, ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING
LAST_IN_SLICE = ismrmrd.ACQ_LAST_IN_SLICE

PLAIN = SimulationSettings(matrix=(96, 96, 1), n_coils=6, noise_std=0.01, seed=3)
ACCELERATED = replace(PLAIN, acceleration=2)
SEPARATE = replace(ACCELERATED, calibration="separate")
SLICES = replace(ACCELERATED, n_slices=2)
ECHOES = replace(ACCELERATED, n_contrasts=2)
REPEATED = replace(ACCELERATED, n_repetitions=3)
AVERAGED = replace(ACCELERATED, n_averages=2, noise_std=0.02)
VOLUME = replace(PLAIN, matrix=(64, 64, 12), fov_mm=(220.0, 220.0, 60.0), acceleration=2)
PARTIAL = replace(ACCELERATED, partial_fourier=0.75)


@dataclass
class Scan:
    """What goes into a raw file.

    Attributes
    ----------
    truth
        Magnitudes (image, z, y, x), in the order of slice, contrast, repetition.
    noise
        Header and lines of a noise scan in a file of its own.
    rewrite
        Changes the file once more, to what the ismrmrd package would not write.
    options
        Further words of the command line.
    """

    header: Any
    lines: list[ismrmrd.Acquisition]
    truth: npt.NDArray[np.floating]
    noise: tuple[Any, list[ismrmrd.Acquisition]] | None = None
    rewrite: Callable[[h5py.File], None] | None = None
    options: list[str] = field(default_factory=list)

    @property
    def encoding(self) -> Any:
        """The first encoding of the header."""
        return self.header.encoding[0]

    def of(self, *flags: int) -> list[ismrmrd.Acquisition]:
        """Lines with one of these flags."""
        return [line for line in self.lines if any(line.is_flag_set(flag) for flag in flags)]

    @property
    def imaging(self) -> list[ismrmrd.Acquisition]:
        """Lines that belong to images."""
        return [line for line in self.lines if not line.is_flag_set(NOISE)]

    def sort(self, key: Callable[[ismrmrd.Acquisition], Any]) -> None:
        """Put the lines of images into another order, behind the noise lines, as a sequence with other loops does."""
        clear_ends(self.lines)
        self.lines = [*self.of(NOISE), *sorted(self.imaging, key=key)]


@dataclass(frozen=True)
class Situation:
    """A named edit.

    Attributes
    ----------
    right
        `image`: as good as the plain scan, exit code 0. `told`: something is lost, the exit code is not 0 or a message says
        so. `refused`: no image, and an error.
    source
        Report of the like, `owner/project#number`; empty for variations.
    loss_db
        What the image may lose against the plain scan, which has more to go by in some situations.
    """

    name: str
    kind: str
    settings: SimulationSettings
    edit: Callable[[Scan], None]
    right: Right = "image"
    source: str = ""
    loss_db: float = 0.7


SITUATIONS: dict[str, Situation] = {}


def situation(
    kind: str, settings: SimulationSettings, source: str = "", right: Right = "image", loss_db: float = 0.7
) -> Callable[[Callable[[Scan], None]], Callable[[Scan], None]]:
    """Enter an edit under its name."""

    def enter(edit: Callable[[Scan], None]) -> Callable[[Scan], None]:
        SITUATIONS[edit.__name__] = Situation(edit.__name__, kind, settings, edit, right, source, loss_db)
        return edit

    return enter


def plain(settings: SimulationSettings) -> Scan:
    """Return the scan without any edit; repetitions show the object with other intensities, as echoes do."""
    simulated = replace(settings, n_contrasts=settings.n_contrasts * settings.n_repetitions, n_repetitions=1)
    header, items = simulate_items(simulated)
    lines = [item for item in items if isinstance(item, ismrmrd.Acquisition)]
    for line in lines:
        line.idx.repetition, line.idx.contrast = divmod(line.idx.contrast, settings.n_contrasts)
    limits = header.encoding[0].encodingLimits
    limits.contrast.maximum, limits.repetition.maximum = settings.n_contrasts - 1, settings.n_repetitions - 1
    images = [
        shown(simulated, index, contrast + settings.n_contrasts * repetition)
        for index in range(settings.n_slices)
        for contrast in range(settings.n_contrasts)
        for repetition in range(settings.n_repetitions)
    ]
    return Scan(header, lines, np.stack(images))


def shown(
    settings: SimulationSettings, index: int, contrast: int, channels: Sequence[int] | None = None
) -> npt.NDArray[Any]:
    """Magnitude that whitened coils show, sqrt(c^H Psi^-1 c) of noise-free coil images c; (z, y, x) on the recon grid."""
    chosen = list(range(settings.n_coils) if channels is None else channels)
    coils = ifft(object_kspace(settings, index, contrast))[chosen]
    covariance = settings.noise_covariance[np.ix_(chosen, chosen)]
    white = np.tensordot(np.linalg.inv(np.linalg.cholesky(covariance)), coils, 1)
    combined = np.sqrt(np.sum(np.abs(white) ** 2, axis=0)).astype(np.complex64)
    return np.abs(to_recon_grid(settings, combined))


def clear_ends(lines: Iterable[ismrmrd.Acquisition]) -> None:
    """Take all FIRST and LAST flags away."""
    for line in lines:
        for flag in range(ismrmrd.ACQ_FIRST_IN_ENCODE_STEP1, ismrmrd.ACQ_LAST_IN_REPETITION + 1):
            line.clear_flag(flag)


def replaced(scan: Scan, change: object) -> None:
    """Put another line in place of each imaging line."""
    scan.lines = [line if line.is_flag_set(NOISE) else change(line) for line in scan.lines]  # type: ignore[operator]


def copied(line: ismrmrd.Acquisition) -> ismrmrd.Acquisition:
    """Return a line of the same head and samples."""
    return with_data(line, line.data.copy())


def with_data(line: ismrmrd.Acquisition, data: ComplexArray, centre: int | None = None) -> ismrmrd.Acquisition:
    """Return a line of the same head, with other samples (coil, x) and centre."""
    head = copy.deepcopy(line.getHead())
    head.active_channels, head.number_of_samples = data.shape
    head.center_sample = line.center_sample if centre is None else centre
    return ismrmrd.Acquisition(head, np.ascontiguousarray(data, np.complex64))


def write(path: Path, scan: Scan) -> None:
    """Write the raw file, and beside it NAME_noise.h5 where the scan has one."""
    for file, header, lines in [
        (path, scan.header, scan.lines),
        *([(path.with_name(f"{path.stem}_noise.h5"), *scan.noise)] if scan.noise else []),
    ]:
        file.unlink(missing_ok=True)
        dataset = ismrmrd.Dataset(str(file), "dataset", create_if_needed=True)
        dataset.write_xml_header(ismrmrd.xsd.ToXML(header).encode() if not isinstance(header, str) else header.encode())
        for line in lines:
            dataset.append_acquisition(line)
        dataset.close()
    if scan.rewrite is not None:
        with h5py.File(path, "r+") as opened:
            scan.rewrite(opened)
