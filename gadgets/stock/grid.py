"""Where a line lies on the grid of `BucketToBufferGadget`."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import ismrmrd
import numpy as np

from nilatron.gadgets.encoding import SEPARATE_MODES, calibration_mode, encoding_limit, trajectory_of
from nilatron.gadgets.items import ScanError, ScanLog
from nilatron.gadgets.stock.types import (
    AcquisitionBucketStats,
    Buffer,
    SamplingDescription,
    SamplingLimit,
    default_headers,
)

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Axis:
    """One phase-encode axis of a grid: array index = step + `offset`, `size` entries, `limits` of the array."""

    name: str
    size: int
    offset: int
    limits: SamplingLimit
    allowed: tuple[int, int]

    def position(self, step: int, line: ismrmrd.Acquisition, log: ScanLog) -> int | None:
        """Array index of a phase-encode step; None for a line inside the limits but off the grid."""
        index = step + self.offset
        if 0 <= index < self.size:
            return index
        if not self.allowed[0] <= step <= self.allowed[1]:
            raise ScanError(
                f"BucketToBufferGadget: line {line.scan_counter} has {self.name} {step}; the header's encoding limits "
                f"are {self.allowed[0]} to {self.allowed[1]}"
            )
        log.problem(
            _logger,
            f"BucketToBufferGadget: line {line.scan_counter} with {self.name} {step} lies inside the encoding limits "
            f"but outside the encoded matrix ({self.size}); left out",
        )
        return None


@dataclass(frozen=True)
class Layout:
    """The grid of imaging or of calibration lines of one encoding."""

    encoding: Any
    e1: Axis
    e2: Axis

    @property
    def n_e1(self) -> int:
        """Size along the first phase-encode direction."""
        return self.e1.size

    @property
    def n_e2(self) -> int:
        """Size along the second phase-encode direction."""
        return self.e2.size

    def position(self, line: ismrmrd.Acquisition, log: ScanLog) -> tuple[int, int] | None:
        """(e1, e2) of a line; None where it has no place."""
        e1 = self.e1.position(line.idx.kspace_encode_step_1, line, log)
        e2 = self.e2.position(line.idx.kspace_encode_step_2, line, log)
        return None if e1 is None or e2 is None else (e1, e2)


def limit_of(encoding: Any, step: int, size: int) -> SamplingLimit:
    """Limits of kspace_encoding_step_`step`; those of a full matrix of `size` where the header has none."""
    found = encoding_limit(encoding, step, size)
    if found is None:
        return SamplingLimit(0, size // 2 if size > 1 else 0, size - 1)
    return SamplingLimit(found.minimum, found.centre, found.maximum)


def layout(encoding: Any, stats: AcquisitionBucketStats, *, is_ref: bool) -> Layout:
    """Lay out the grid of the imaging (or calibration) lines of an encoding."""
    mode = calibration_mode(encoding) if is_ref else "embedded"
    matrix = encoding.encodedSpace.matrixSize
    has_parallel = encoding.parallelImaging is not None
    axes = [
        _axis(f"kspace_encode_step_{step}", size, limit_of(encoding, step, size), stats, mode, has_parallel)
        for step, size in ((1, int(matrix.y)), (2, int(matrix.z)))
    ]
    return Layout(encoding, *axes)


def _axis(
    name: str, matrix: int, limit: SamplingLimit, stats: AcquisitionBucketStats, mode: str, has_parallel: bool
) -> Axis:
    allowed = (limit.min, limit.max)
    if mode in SEPARATE_MODES:
        return Axis(name, stats.extent(name), -stats.first(name), limit, allowed)
    if mode != "embedded":
        return Axis(name, max(matrix, limit.max + 1), 0, limit, allowed)
    offset = matrix // 2 - limit.center if matrix > 1 or name == "kspace_encode_step_1" else 0
    extent = limit.max - limit.min + 1
    fits = limit.min + offset >= 0 and limit.max + offset < extent
    size = extent if not has_parallel and fits else matrix
    shifted = SamplingLimit(max(limit.min + offset, 0), matrix // 2, min(limit.max + offset, size - 1))
    return Axis(name, size, offset, shifted, allowed)


def _echo(line: ismrmrd.Acquisition) -> int:
    """Sample of the echo; a `center_sample` of 0 was not set."""
    return int(line.center_sample) or int(line.number_of_samples) // 2


def readout_length(line: ismrmrd.Acquisition) -> int:
    """Count the samples of a grid that holds the line with its echo at the centre."""
    n_samples, echo = int(line.number_of_samples), _echo(line)
    return n_samples if echo == n_samples // 2 else 2 * max(echo, n_samples - echo)


def readout_start(line: ismrmrd.Acquisition, n_readout: int) -> int:
    """Array index of the first sample of a line that is not discarded.

    Raises
    ------
    ScanError
        The line does not fit.
    """
    start = n_readout // 2 - _echo(line) + int(line.discard_pre)
    n_used = line.number_of_samples - line.discard_pre - line.discard_post
    if start < 0 or n_used <= 0 or start + n_used > n_readout:
        raise ScanError(
            f"BucketToBufferGadget: line {line.scan_counter} ({line.number_of_samples} samples, echo at "
            f"{line.center_sample}, {line.discard_pre}+{line.discard_post} discarded) does not fit into a readout of "
            f"{n_readout}; expected lines like the first one of the image"
        )
    return start


def sampling_description(layout: Layout, line: ismrmrd.Acquisition, n_readout: int) -> SamplingDescription:
    """Geometry of a buffer; along the readout, oversampling counts as removed in Cartesian scans."""
    encoded, recon = layout.encoding.encodedSpace, layout.encoding.reconSpace
    readout = recon if trajectory_of(layout.encoding) == "cartesian" else encoded
    start = readout_start(line, n_readout)
    n_used = line.number_of_samples - line.discard_pre - line.discard_post
    fov, matrix = encoded.fieldOfView_mm, encoded.matrixSize
    return SamplingDescription(
        encoded_FOV=(float(readout.fieldOfView_mm.x), float(fov.y), float(fov.z)),
        recon_FOV=(float(recon.fieldOfView_mm.x), float(recon.fieldOfView_mm.y), float(recon.fieldOfView_mm.z)),
        encoded_matrix=(int(readout.matrixSize.x), int(matrix.y), int(matrix.z)),
        recon_matrix=(int(recon.matrixSize.x), int(recon.matrixSize.y), int(recon.matrixSize.z)),
        sampling_limits=(
            SamplingLimit(start, n_readout // 2, start + n_used - 1),
            layout.e1.limits,
            layout.e2.limits,
        ),
    )


def empty_buffer(like: Buffer | None) -> Buffer:
    """Make a buffer without lines, for calibration that came alone."""
    assert like is not None  # noqa: S101 - made only beside calibration data
    return Buffer(np.zeros((0,) * 7, dtype=np.complex64, order="F"), default_headers((0,) * 5), like.sampling)
