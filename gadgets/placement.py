"""Where things lie: the image of a line, its row and columns on the encoded grid (z, y, x), DC at n // 2, and DC in buffers."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import ismrmrd
import numpy as np

from nilatron.core.backend import ComplexArray
from nilatron.core.kspace import KSpaceAccumulator
from nilatron.gadgets.encoding import Limit, encoding_limit, kept_width
from nilatron.gadgets.flags import is_reversed
from nilatron.gadgets.items import ScanError, ScanLog

log = logging.getLogger(__name__)

FAR_OFF = 1 / 8  # of a line as long as its grid, between its echo and its middle: the header is in doubt


class ImageKey(NamedTuple):
    """What tells the images of a scan apart; lines that differ in nothing of this are put together."""

    encoding: int
    slice: int
    contrast: int
    phase: int
    set: int
    repetition: int

    def without_frame(self) -> ImageKey:
        """The key that all frames of an object share: those that differ in phase or repetition alone."""
        return self._replace(phase=0, repetition=0)


def image_key(head: Any) -> ImageKey:
    """Which image a line, or the line of a header, belongs to."""
    return ImageKey(int(head.encoding_space_ref), *(int(getattr(head.idx, name)) for name in ImageKey._fields[1:]))


@dataclass(frozen=True)
class PhaseAxis:
    """One phase-encode axis of a grid: row = kspace_encode_step + offset.

    Attributes
    ----------
    step
        1 for y, 2 for z.
    size, offset
        Of the grid, in rows.
    limit
        Of the index, as the header has it.
    """

    step: int
    size: int
    offset: int
    limit: Limit

    @property
    def name(self) -> str:
        """Counter of the line's header."""
        return f"kspace_encode_step_{self.step}"

    def index(self, head: Any) -> int:
        """Encoding step of a line, or of the line of a header."""
        return int(getattr(head.idx, self.name))

    def row(self, line: ismrmrd.Acquisition, log_of_scan: ScanLog, *, strict: bool = False) -> int | None:
        """Row of a line; None, and a problem, for an index that the limits allow and the grid has no room for.

        Raises
        ------
        ScanError
            For an index outside limits and grid; with `strict` for any outside the limits.
        """
        index, limit = self.index(line), self.limit
        row, allowed = index + self.offset, limit.minimum <= index <= limit.maximum
        if 0 <= row < self.size and (allowed or not strict):
            return row
        text = (
            f"line {line.scan_counter} has {self.name} = {index}, "
            f"{'inside' if allowed else 'outside'} the header's limits {limit.minimum} to {limit.maximum} "
            f"(centre {limit.centre}, grid of {self.size})"
        )
        if not allowed:
            raise ScanError(text)
        log_of_scan.problem(log, f"{text}, but off the grid: left out")
        return None


def phase_axis(encoding: Any, step: int) -> PhaseAxis:
    """An axis of the encoded grid, with the central index at n // 2; a header without limits means those of the matrix."""
    matrix = encoding.encodedSpace.matrixSize
    size = int(matrix.y if step == 1 else matrix.z)
    limit = encoding_limit(encoding, step, size) or Limit(0, size // 2, size - 1)
    is_flat = step == 2 and size == 1
    return PhaseAxis(step, size, 0 if is_flat else size // 2 - limit.centre, limit)


def row_of(
    line: ismrmrd.Acquisition, encoding: Any, log_of_scan: ScanLog, *, strict: bool = True
) -> tuple[int, int] | None:
    """Row (z, y) of a line on the encoded grid; None where it has none, see `PhaseAxis.row`.

    Without `strict` an index outside the limits may lie on the grid: a separate calibration scan counts its own way.
    """
    z, y = (phase_axis(encoding, step).row(line, log_of_scan, strict=strict) for step in (2, 1))
    return None if z is None or y is None else (z, y)


def distance(place: Sequence[int], centre: Sequence[int]) -> float:
    """Distance between two rows, in lines."""
    return math.dist(place, centre)


def nearest(places: Sequence[Sequence[int]], centre: Sequence[int]) -> int:
    """Which of the rows is nearest to the centre of k-space; the first of several."""
    return min(range(len(places)), key=lambda i: distance(places[i], centre))


@dataclass(frozen=True)
class Readout:
    """The samples of a line in the order of rising k.

    Attributes
    ----------
    samples
        Complex64 (coil, n).
    echo
        Sample of DC.
    pre, post
        Samples at the two ends that were not measured.
    number
        Scan counter of the line, for messages.
    """

    samples: ComplexArray
    echo: int
    pre: int
    post: int
    number: int

    @property
    def n_samples(self) -> int:
        """Samples of each coil, measured or not."""
        return int(self.samples.shape[1])

    def on_grid(self, n_x: int, log_of_scan: ScanLog) -> Readout:
        """The same on `n_x` columns, echo at n_x // 2; gaps are not measured, and what falls off the grid is lost.

        A line as long as the grid is shifted as far as its echo asks. A shorter one may lose the one sample that a line
        read backwards has more on the other side of its echo, or that rounding adds; a longer one none.

        Raises
        ------
        ScanError
            For a line that does not fit.
        """
        n, left = self.n_samples, n_x // 2 - self.echo
        if left == 0 and n == n_x:
            return self
        first, last = max(self.pre, -left), min(n - self.post, n_x - left)
        n_lost = n - self.post - self.pre - (last - first)
        if last <= first or (n < n_x and n_lost > 1) or (n > n_x and n_lost > 0):
            what = "more than" if n > n_x else f"with the echo at {self.echo}, that do not fit"
            message = f"line {self.number} has {n} samples, {what} the encoded matrix of {n_x}"
            raise ScanError(f"{message}: check encodedSpace in the header")
        if n == n_x and abs(left) > FAR_OFF * n:
            log_of_scan.counts["lines with their echo far off the middle"] += 1
            if log_of_scan.counts["lines with their echo far off the middle"] == 1:
                log_of_scan.problem(log, f"line {self.number} of {n} samples has its echo at {self.echo}: shifted")
        placed = np.zeros((self.samples.shape[0], n_x), np.complex64)
        placed[:, left + first : left + last] = self.samples[:, first:last]
        return Readout(placed, n_x // 2, left + first, n_x - left - last, self.number)


def is_echo_set(line: ismrmrd.Acquisition) -> bool:
    """Whether `center_sample` names a sample of the line; 0 stands for nothing."""
    return 0 < int(line.center_sample) < int(line.number_of_samples)


def echo_of(line: ismrmrd.Acquisition) -> int:
    """Sample of the echo in the order of storage; n // 2 where the header does not say."""
    return int(line.center_sample) if is_echo_set(line) else int(line.number_of_samples) // 2


def n_counting(line: ismrmrd.Acquisition) -> int:
    """Samples of all channels together that are not in a discard range."""
    n = int(line.number_of_samples) - int(line.discard_pre) - int(line.discard_post)
    return max(n, 0) * int(line.active_channels)


def readout_of(line: ismrmrd.Acquisition) -> Readout:
    """The line forwards: one that was read backwards is turned around, with its echo and its discard ranges."""
    samples: ComplexArray = np.asarray(line.data)
    echo, pre, post, number = echo_of(line), int(line.discard_pre), int(line.discard_post), int(line.scan_counter)
    if not is_reversed(line.flags):
        return Readout(samples, echo, pre, post, number)
    turned = samples.shape[1] - 1 - echo if is_echo_set(line) else echo
    return Readout(samples[:, ::-1], turned, post, pre, number)


def grid_width(readout: Readout, encoding: Any) -> int:
    """Columns of the encoded grid for a line: without oversampling where the chain in front has removed it.

    It has where the line is no longer than that, and one side of its echo is whole (give or take a rounded sample).
    """
    n, n_kept = readout.n_samples, kept_width(encoding)
    sides = (readout.echo - n_kept // 2, (n - readout.echo) - (n_kept - n_kept // 2))
    is_prepared = n <= n_kept and min(map(abs, sides)) <= 1
    return n_kept if is_prepared else int(encoding.encodedSpace.matrixSize.x)


def new_grid(n_coils: int, encoding: Any, n_x: int) -> KSpaceAccumulator:
    """An empty encoded grid of `n_x` columns."""
    matrix = encoding.encodedSpace.matrixSize
    return KSpaceAccumulator(n_coils, (int(matrix.z), int(matrix.y), n_x), np)


def add_readout(grid: KSpaceAccumulator, readout: Readout, row: tuple[int, int], log_of_scan: ScanLog) -> None:
    """Put a line on the grid; samples in its discard ranges do not count.

    Raises
    ------
    ScanError
        For a line that does not fit, or with other coils than the grid.
    """
    placed = readout.on_grid(grid.shape[2], log_of_scan)
    if placed.pre + placed.post >= placed.n_samples:
        raise ScanError(f"line {readout.number} has no samples that count on a grid of {placed.n_samples}")
    try:
        grid.add(placed.samples, *row, 0, (placed.pre, placed.n_samples - placed.post))
    except ValueError as error:
        raise ScanError(f"line {readout.number}: {error}") from error


def buffer_centre(sampling: Any) -> tuple[int, int]:
    """Entry (e1, e2) of DC in an array of a buffer, by its sampling limits."""
    _, e1, e2 = sampling.sampling_limits
    return int(e1.center), int(e2.center)


def centre_by_index(entry: tuple[int, int], head: Any, encoding: Any) -> tuple[int, int]:
    """Entry (e1, e2) of DC in an array whose lines may start at any index, by the place and the header of one line."""
    axes = (phase_axis(encoding, step) for step in (1, 2))
    e1, e2 = (place - axis.index(head) - axis.offset + axis.size // 2 for place, axis in zip(entry, axes, strict=True))
    return e1, e2


def buffer_columns(n_e0: int, limit: Any) -> tuple[int, int, tuple[int, int]]:
    """Width of the grid, column of the first entry of E0, and which entries are measured, by the readout's limits."""
    first, last, centre = int(limit.min), int(limit.max), int(limit.center)
    if n_e0 == last - first + 1 and n_e0 <= last:  # the limits speak of the line before samples were discarded
        n_x = max(n_e0, 2 * centre)
        return n_x, n_x // 2 - centre + first, (0, n_e0)
    return n_e0, n_e0 // 2 - centre, (first, min(last, n_e0 - 1) + 1)
