"""What travels between the stock gadgets: buckets of lines, and buffers of gridded lines.

The attribute names are those of the PyPI package `gadgetron`, so that code reads either kind.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import ismrmrd
import numpy as np
import numpy.typing as npt
from ismrmrd.hdf5 import acquisition_header_dtype

HEADER_DTYPE: np.dtype[np.void] = np.dtype(acquisition_header_dtype)
HeaderArray: TypeAlias = npt.NDArray[np.void]
_Values: TypeAlias = set[int]  # `set` itself is a counter of the class below

COUNTERS = (
    "kspace_encode_step_1",
    "kspace_encode_step_2",
    "slice",
    "phase",
    "contrast",
    "repetition",
    "set",
    "segment",
    "average",
)


@dataclass(frozen=True)
class AcquisitionBucketStats:
    """The values that each encoding counter takes among the lines of one encoding space."""

    kspace_encode_step_1: _Values = field(default_factory=_Values)
    kspace_encode_step_2: _Values = field(default_factory=_Values)
    slice: _Values = field(default_factory=_Values)
    phase: _Values = field(default_factory=_Values)
    contrast: _Values = field(default_factory=_Values)
    repetition: _Values = field(default_factory=_Values)
    set: _Values = field(default_factory=_Values)
    segment: _Values = field(default_factory=_Values)
    average: _Values = field(default_factory=_Values)

    def add(self, idx: Any) -> None:
        """Take in the counters of one line (`ismrmrd.EncodingCounters`)."""
        for name in COUNTERS:
            getattr(self, name).add(int(getattr(idx, name)))

    def first(self, name: str) -> int:
        """Smallest value of a counter."""
        return int(min(getattr(self, name)))

    def extent(self, name: str) -> int:
        """Largest minus smallest value of a counter, plus one."""
        values = getattr(self, name)
        return int(max(values) - min(values) + 1)


@dataclass(frozen=True)
class AcquisitionBucket:
    """Lines that were triggered together.

    Attributes
    ----------
    data, ref
        Imaging and calibration lines (`ismrmrd.Acquisition`); a line can be both.
    datastats, refstats
        One entry per encoding space.
    waveforms
        `ismrmrd.Waveform` items that arrived between the lines.
    """

    data: list[ismrmrd.Acquisition] = field(default_factory=list)
    datastats: list[AcquisitionBucketStats] = field(default_factory=list)
    ref: list[ismrmrd.Acquisition] = field(default_factory=list)
    refstats: list[AcquisitionBucketStats] = field(default_factory=list)
    waveforms: list[ismrmrd.Waveform] = field(default_factory=list)

    def add_data(self, line: ismrmrd.Acquisition) -> None:
        """Append an imaging line."""
        _add(self.data, self.datastats, line)

    def add_ref(self, line: ismrmrd.Acquisition) -> None:
        """Append a calibration line."""
        _add(self.ref, self.refstats, line)


def _add(lines: list[ismrmrd.Acquisition], stats: list[AcquisitionBucketStats], line: ismrmrd.Acquisition) -> None:
    while len(stats) <= line.encoding_space_ref:
        stats.append(AcquisitionBucketStats())
    stats[line.encoding_space_ref].add(line.idx)
    lines.append(line)


class SamplingLimit(NamedTuple):
    """First, central (DC) and last index along one axis of a buffer."""

    min: int
    center: int
    max: int


@dataclass(frozen=True)
class SamplingDescription:
    """Geometry of a buffer: matrices in samples, fields of view in mm, limits along (readout, E1, E2)."""

    encoded_FOV: tuple[float, float, float]  # noqa: N815 - the name in the PyPI package
    recon_FOV: tuple[float, float, float]  # noqa: N815
    encoded_matrix: tuple[int, int, int]
    recon_matrix: tuple[int, int, int]
    sampling_limits: tuple[SamplingLimit, SamplingLimit, SamplingLimit]

    @property
    def encoded_fov(self) -> tuple[float, float, float]:
        """`encoded_FOV` under its lower-case name."""
        return self.encoded_FOV

    @property
    def recon_fov(self) -> tuple[float, float, float]:
        """`recon_FOV` under its lower-case name."""
        return self.recon_FOV


@dataclass(frozen=True)
class Buffer:
    """Gridded k-space.

    Attributes
    ----------
    data
        Complex64 (E0, E1, E2, CHA, N, S, LOC), Fortran order; zero where nothing was acquired.
    headers
        Of dtype `HEADER_DTYPE`, (E1, E2, N, S, LOC), Fortran order; `number_of_samples` 0 where nothing was acquired.
    sampling
        Geometry.
    trajectory, density
        Always None: Cartesian lines need none.
    """

    data: npt.NDArray[np.complex64]
    headers: HeaderArray
    sampling: SamplingDescription
    trajectory: None = None
    density: None = None


@dataclass(frozen=True)
class ReconBit:
    """Imaging data and, if there are any, calibration data of one encoding space."""

    data: Buffer
    ref: Buffer | None = None


@dataclass(frozen=True)
class ReconData:
    """All encoding spaces of one set of images."""

    bits: list[ReconBit]

    def __iter__(self) -> Iterator[ReconBit]:
        return iter(self.bits)

    def __getitem__(self, index: int) -> ReconBit:
        return self.bits[index]


def check_dimension(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """Raise ValueError unless the property `name` is one of the dimensions `allowed`."""
    if value not in allowed:
        raise ValueError(f"property {name!r}: expected one of {', '.join(map(repr, allowed))}, not {value!r}")


def default_headers(shape: tuple[int, ...]) -> HeaderArray:
    """Make an array of headers of lines that were not acquired, as Gadgetron fills it (Fortran order)."""
    headers: HeaderArray = np.zeros(shape, dtype=HEADER_DTYPE, order="F")
    for name in ("version", "available_channels", "active_channels"):
        headers[name] = 1
    return headers


def header_record(head: ismrmrd.AcquisitionHeader) -> np.void:
    """Return the header of a line as one element of a header array."""
    record: np.void = np.frombuffer(bytes(head), dtype=HEADER_DTYPE)[0]
    return record


def header_object(record: Any) -> ismrmrd.AcquisitionHeader:
    """One element of a header array, structured or of objects, as `ismrmrd.AcquisitionHeader`."""
    source = record.tobytes() if isinstance(record, np.void) else bytes(record)
    return ismrmrd.AcquisitionHeader.from_buffer_copy(source)


def derived_line(
    line: ismrmrd.Acquisition,
    data: npt.NDArray[np.complexfloating[Any, Any]],
    trajectory: npt.NDArray[np.float32] | None = None,
    *,
    head: ismrmrd.AcquisitionHeader | None = None,
) -> ismrmrd.Acquisition:
    """Make a line with other samples; header fields from `head` or `line`, sizes from the arrays."""
    head = line.getHead() if head is None else head
    trajectory = line.traj if trajectory is None else trajectory
    head.active_channels, head.number_of_samples = data.shape
    head.trajectory_dimensions = trajectory.shape[1]
    return ismrmrd.Acquisition(head, np.ascontiguousarray(data, dtype=np.complex64), trajectory)
