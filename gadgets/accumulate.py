"""Lines become k-space: one `KSpaceSlice` for each image, handed on as soon as its last line is in."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import ismrmrd
import numpy as np

from nilatron.core.kspace import KSpaceAccumulator
from nilatron.gadgets.calibration import CalibrationStore
from nilatron.gadgets.encoding import encoding_of, has_separate_calibration, kept_width, last_average
from nilatron.gadgets.flags import LineKind, calibrates, is_last_in_slice, kind_of, other_names
from nilatron.gadgets.items import Context, KSpaceSlice
from nilatron.gadgets.placement import ImageKey, add_readout, distance, image_key, new_grid, readout_of, row_of

log = logging.getLogger(__name__)


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
    scan only calibrate.
    """

    calibration: CalibrationStore = field(default_factory=CalibrationStore)
    open: dict[ImageKey, OpenSlice] = field(default_factory=dict)
    finished: set[ImageKey] = field(default_factory=set)

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
        if has_separate_calibration(encoding) and calibrates(line.flags):
            self.calibration.add(line, encoding, context.log)
            if kind is LineKind.CALIBRATION:
                context.log.counts["calibration lines"] += 1
                return
        row = row_of(line, encoding, context.log)
        if row is None:
            return
        context.log.counts["imaging lines"] += 1
        key = image_key(line)
        if key in self.finished:
            context.log.counts["late lines"] += 1
            if context.log.counts["late lines"] == 1:
                context.log.problem(log, f"lines of slice {key.slice} came after its last line was announced: left out")
            return
        target = self.open.get(key)
        if target is None:
            grid = new_grid(int(line.active_channels), encoding, kept_width(encoding))
            target = self.open[key] = OpenSlice(grid, line.getHead())
        self._add(target, line, row, context)
        previous = key._replace(repetition=key.repetition - 1)
        if previous in self.open and target.n_lines >= self.open[previous].n_lines:
            yield self._close(previous, context)
        if is_last_in_slice(line.flags) and line.idx.average >= last_average(encoding):
            yield self._close(key, context)

    @staticmethod
    def _add(target: OpenSlice, line: ismrmrd.Acquisition, row: tuple[int, int], context: Context) -> None:
        add_readout(target.grid, readout_of(line), row, context.log)
        target.n_lines += 1
        n_z, n_y, _ = target.grid.shape
        from_centre = distance(row, (n_z // 2, n_y // 2))
        if from_centre < target.distance:
            target.distance, target.head = from_centre, line.getHead()

    def _close(self, key: ImageKey, context: Context) -> KSpaceSlice:
        done = self.open.pop(key)
        self.finished.add(key)
        context.log.counts["slices"] += 1
        kspace, counts = done.grid.mean(), done.grid.counts
        calibration = self.calibration.block(key, kspace, counts)
        item = KSpaceSlice(
            kspace=kspace,
            counts=counts,
            calibration=calibration,
            head=done.head,
            encoding=encoding_of(context.header, key.encoding),
        )
        log.info(
            "%s: %d lines, %.1f-fold undersampled, calibration %s",
            item.label,
            done.n_lines,
            acceleration(counts),
            "none" if calibration is None else "x".join(str(n) for n in calibration.shape[1:]),
        )
        return item


def acceleration(counts: np.ndarray[Any, Any]) -> float:
    """Grid lines per acquired line."""
    acquired = int(np.count_nonzero(counts.max(axis=-1)))
    return float(counts.shape[0] * counts.shape[1] / max(1, acquired))
