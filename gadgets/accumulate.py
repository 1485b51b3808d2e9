"""Lines become k-space: one `KSpaceSlice` for each image, handed on as soon as its last line is in."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import ismrmrd
import numpy as np

from nilatron.core.backend import ComplexArray, FloatArray
from nilatron.core.kspace import KSpaceAccumulator, calibration_block
from nilatron.gadgets.encoding import SEPARATE_MODES, calibration_mode, encoding_limit, encoding_of, last_average
from nilatron.gadgets.flags import LineKind, is_last_in_slice, kind_of, other_names
from nilatron.gadgets.items import Context, KSpaceSlice, ScanError
from nilatron.gadgets.oversampling import kept_width

log = logging.getLogger(__name__)

Key: TypeAlias = tuple[int, int, int, int, int, int]  # encoding space, slice, contrast, phase, set, repetition


@dataclass
class OpenSlice:
    """An image whose lines are still coming in."""

    grid: KSpaceAccumulator
    head: ismrmrd.AcquisitionHeader
    distance: float = float("inf")  # of the nearest line so far from the centre of k-space, in lines
    n_lines: int = 0


@dataclass
class Accumulator:
    """The gadget of one scan.

    Averages are averaged; segments are merged; calibration lines of an embedded scan are data as well, those of a separate
    scan only calibrate, and do so for every later image of their slice.
    """

    open: dict[Key, OpenSlice] = field(default_factory=dict)
    calibration: dict[tuple[int, int], KSpaceAccumulator] = field(default_factory=dict)  # of (encoding space, slice)
    finished: set[Key] = field(default_factory=set)

    def __call__(self, items: Iterable[Any], context: Context) -> Iterator[Any]:
        """Acquisitions in, slices out; everything else passes."""
        for item in items:
            if isinstance(item, ismrmrd.Acquisition):
                yield from self._take(item, context)
            elif isinstance(item, ismrmrd.Waveform):
                context.log.counts["waveforms"] += 1
            else:
                yield item
        for key in list(self.open):
            yield self._close(key, context)

    def _take(self, line: ismrmrd.Acquisition, context: Context) -> Iterator[KSpaceSlice]:
        kind = kind_of(line.flags)
        if kind in (LineKind.OTHER, LineKind.NOISE):
            for name in other_names(line.flags) or ["noise"]:
                context.log.counts[f"lines left out: {name}"] += 1
            return
        encoding = encoding_of(context.header, line.encoding_space_ref)
        separate = kind is LineKind.CALIBRATION and calibration_mode(encoding) in SEPARATE_MODES
        place = grid_position(line, encoding, strict=not separate)
        if separate:
            self._calibrate(line, place, encoding)
            context.log.counts["calibration lines"] += 1
            return
        context.log.counts["imaging lines"] += 1
        key = key_of(line)
        if key in self.finished:
            context.log.counts["late lines"] += 1
            if context.log.counts["late lines"] == 1:
                context.log.problem(log, f"lines of slice {key[1]} came after its last line was announced: left out")
            return
        target = self.open.get(key)
        if target is None:
            target = self.open[key] = OpenSlice(new_grid(line, encoding), line.getHead())
        self._add(target, line, place)
        previous = (*key[:-1], key[-1] - 1)
        if previous in self.open and target.n_lines >= self.open[previous].n_lines:
            yield self._close(previous, context)
        if is_last_in_slice(line.flags) and line.idx.average >= last_average(encoding):
            yield self._close(key, context)

    @staticmethod
    def _add(target: OpenSlice, line: ismrmrd.Acquisition, place: tuple[int, int]) -> None:
        add_line(target.grid, line, place)
        target.n_lines += 1
        n_z, n_y, _ = target.grid.shape
        distance = float(np.hypot(place[0] - n_z // 2, place[1] - n_y // 2))
        if distance < target.distance:
            target.distance, target.head = distance, line.getHead()

    def _calibrate(self, line: ismrmrd.Acquisition, place: tuple[int, int], encoding: Any) -> None:
        key = (int(line.encoding_space_ref), int(line.idx.slice))
        if key not in self.calibration:
            self.calibration[key] = new_grid(line, encoding)
        add_line(self.calibration[key], line, place)

    def _close(self, key: Key, context: Context) -> KSpaceSlice:
        done = self.open.pop(key)
        self.finished.add(key)
        context.log.counts["slices"] += 1
        kspace, counts = done.grid.mean(), done.grid.counts
        separate = self.calibration.get((key[0], key[1]))
        calibration = (
            calibration_block(kspace, counts) if separate is None else centred_block(separate.mean(), separate.counts)
        )
        item = KSpaceSlice(
            kspace=kspace,
            counts=counts,
            calibration=None if calibration is None else np.array(calibration),
            head=done.head,
            encoding=encoding_of(context.header, key[0]),
        )
        log.info(
            "%s: %d lines, %.1f-fold undersampled, calibration %s",
            item.label,
            done.n_lines,
            acceleration(counts),
            "none" if calibration is None else "x".join(str(n) for n in calibration.shape[1:]),
        )
        return item


def key_of(line: ismrmrd.Acquisition) -> Key:
    """Which image a line belongs to."""
    idx = line.idx
    return (
        int(line.encoding_space_ref),
        int(idx.slice),
        int(idx.contrast),
        int(idx.phase),
        int(idx.set),
        int(idx.repetition),
    )


def acceleration(counts: np.ndarray[Any, Any]) -> float:
    """Grid lines per acquired line."""
    acquired = int(np.count_nonzero(counts.max(axis=-1)))
    return float(counts.shape[0] * counts.shape[1] / max(1, acquired))


def new_grid(line: ismrmrd.Acquisition, encoding: Any) -> KSpaceAccumulator:
    """An empty grid for the images of this encoding."""
    matrix = encoding.encodedSpace.matrixSize
    n_x = min(kept_width(encoding), int(matrix.x))
    return KSpaceAccumulator(int(line.active_channels), (int(matrix.z), int(matrix.y), n_x), np)


def add_line(grid: KSpaceAccumulator, line: ismrmrd.Acquisition, place: tuple[int, int]) -> None:
    """Put a prepared readout on the grid; samples in its discard ranges do not count."""
    n = int(line.number_of_samples)
    usable = (int(line.discard_pre), n - int(line.discard_post))
    try:
        grid.add(np.asarray(line.data), *place, grid.shape[2] // 2 - int(line.center_sample), usable)
    except ValueError as error:
        raise ScanError(f"line {line.scan_counter}: {error}") from error


def grid_position(line: ismrmrd.Acquisition, encoding: Any, *, strict: bool = True) -> tuple[int, int]:
    """Row (z, y) of a line on the encoded grid, DC at n // 2.

    Parameters
    ----------
    line, encoding
        The line, and the header's encoding that it belongs to.
    strict
        Whether indices outside the header's encoding limits are an error; a separate calibration scan may count its own way.

    Raises
    ------
    ScanError
        For an index outside the limits or the matrix.
    """
    matrix = encoding.encodedSpace.matrixSize
    place = []
    for step, n in ((2, int(matrix.z)), (1, int(matrix.y))):
        index = int(getattr(line.idx, f"kspace_encode_step_{step}"))
        limit = encoding_limit(encoding, step, n)
        position = index if limit is None else index - limit.centre + n // 2
        outside_limits = limit is not None and not limit.minimum <= index <= limit.maximum
        if (strict and outside_limits) or not 0 <= position < n:
            allowed = f"limits {limit.minimum} to {limit.maximum}, centre {limit.centre}, " if limit is not None else ""
            raise ScanError(
                f"line {line.scan_counter} has kspace_encode_step_{step} = {index}, outside the header's {allowed}matrix {n}"
            )
        place.append(position)
    return place[0], place[1]


def centred_block(kspace: ComplexArray, counts: FloatArray) -> ComplexArray | None:
    """The calibration block of a separate scan, which may count its lines from anywhere: its strongest line is the centre."""
    for axis in (0, 1):
        centre = counts.shape[axis] // 2
        energy = np.sum(np.abs(kspace) ** 2, axis=(0, 3)).sum(axis=1 - axis)
        if counts.shape[axis] > 1 and not np.any(np.take(counts, centre, axis=axis)):
            shift = centre - int(np.argmax(energy))
            kspace, counts = np.roll(kspace, shift, axis=axis + 1), np.roll(counts, shift, axis=axis)
    block: ComplexArray | None = calibration_block(kspace, counts)
    return block
