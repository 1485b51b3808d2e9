"""Where a line lies on the grid of `BucketToBufferGadget`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ismrmrd
import numpy as np

from nilatron.gadgets.encoding import SEPARATE_MODES, calibration_mode, trajectory_of
from nilatron.gadgets.items import ScanError, ScanLog
from nilatron.gadgets.placement import PhaseAxis, Readout, grid_width, phase_axis, readout_of
from nilatron.gadgets.stock.types import (
    AcquisitionBucketStats,
    Buffer,
    SamplingDescription,
    SamplingLimit,
    default_headers,
)


@dataclass(frozen=True)
class Axis(PhaseAxis):
    """One phase-encode axis of a buffer, with the `sampled` range of its array."""

    sampled: SamplingLimit


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
        e1, e2 = self.e1.row(line, log), self.e2.row(line, log)
        return None if e1 is None or e2 is None else (e1, e2)


def layout(encoding: Any, stats: AcquisitionBucketStats, *, is_ref: bool) -> Layout:
    """Lay out the grid of the imaging (or calibration) lines of an encoding."""
    mode = calibration_mode(encoding) if is_ref else "embedded"
    has_parallel = encoding.parallelImaging is not None
    axes = [_axis(phase_axis(encoding, step), stats, mode, has_parallel) for step in (1, 2)]
    return Layout(encoding, *axes)


def _axis(encoded: PhaseAxis, stats: AcquisitionBucketStats, mode: str, has_parallel: bool) -> Axis:
    step, matrix, offset, limit = encoded.step, encoded.size, encoded.offset, encoded.limit
    whole = SamplingLimit(limit.minimum, limit.centre, limit.maximum)
    if mode in SEPARATE_MODES:
        return Axis(step, stats.extent(encoded.name), -stats.first(encoded.name), limit, whole)
    if mode != "embedded":
        return Axis(step, max(matrix, limit.maximum + 1), 0, limit, whole)
    extent = limit.maximum - limit.minimum + 1
    fits = limit.minimum + offset >= 0 and limit.maximum + offset < extent
    size = extent if not has_parallel and fits else matrix
    shifted = SamplingLimit(max(limit.minimum + offset, 0), matrix // 2, min(limit.maximum + offset, size - 1))
    return Axis(step, size, offset, limit, shifted)


def readout_length(line: ismrmrd.Acquisition, encoding: Any) -> int:
    """Count the samples of an array for lines like this one, with their echo at the centre."""
    readout = readout_of(line)
    n_samples = readout.n_samples
    return n_samples if readout.echo == n_samples // 2 else max(n_samples, grid_width(readout, encoding))


def centred_readout(line: ismrmrd.Acquisition, n_readout: int, log: ScanLog) -> Readout:
    """A line forwards in an array of `n_readout` samples, its echo at the centre.

    Raises
    ------
    ScanError
        The line does not fit.
    """
    try:
        return readout_of(line).on_grid(n_readout, log)
    except ScanError as error:
        raise ScanError(
            f"BucketToBufferGadget: {error} (it does not fit into a readout of {n_readout}, that of its image's first line)"
        ) from error


def sampling_description(layout: Layout, first: Readout) -> SamplingDescription:
    """Geometry of a buffer, whose first line is this; along the readout, oversampling counts as removed in Cartesian scans."""
    encoded, recon = layout.encoding.encodedSpace, layout.encoding.reconSpace
    readout = recon if trajectory_of(layout.encoding) == "cartesian" else encoded
    fov, matrix = encoded.fieldOfView_mm, encoded.matrixSize
    return SamplingDescription(
        encoded_FOV=(float(readout.fieldOfView_mm.x), float(fov.y), float(fov.z)),
        recon_FOV=(float(recon.fieldOfView_mm.x), float(recon.fieldOfView_mm.y), float(recon.fieldOfView_mm.z)),
        encoded_matrix=(int(readout.matrixSize.x), int(matrix.y), int(matrix.z)),
        recon_matrix=(int(recon.matrixSize.x), int(recon.matrixSize.y), int(recon.matrixSize.z)),
        sampling_limits=(
            SamplingLimit(first.pre, first.echo, first.n_samples - first.post - 1),
            layout.e1.sampled,
            layout.e2.sampled,
        ),
    )


def empty_buffer(like: Buffer | None) -> Buffer:
    """Make a buffer without lines, for calibration that came alone."""
    assert like is not None  # noqa: S101 - made only beside calibration data
    return Buffer(np.zeros((0,) * 7, dtype=np.complex64, order="F"), default_headers((0,) * 5), like.sampling)
