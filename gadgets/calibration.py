"""What calibrates what: a separate calibration scan serves every image of its slice, whichever way its lines come."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import ismrmrd
import numpy as np

from nilatron.core.backend import ComplexArray, FloatArray
from nilatron.core.kspace import KSpaceAccumulator, calibration_block
from nilatron.gadgets.items import ScanLog
from nilatron.gadgets.placement import ImageKey, add_readout, grid_width, image_key, new_grid, readout_of, row_of

_SliceKey: TypeAlias = tuple[int, int]  # encoding space, slice


@dataclass
class CalibrationStore:
    """The separate calibration of one scan, by encoding space and slice.

    Lines are gathered, and averaged where they come again. Calibration that comes gridded takes the place of what was
    kept, if it has a block.
    """

    _grids: dict[_SliceKey, KSpaceAccumulator] = field(default_factory=dict)
    _blocks: dict[_SliceKey, ComplexArray | None] = field(default_factory=dict)

    def add(self, line: ismrmrd.Acquisition, encoding: Any, log_of_scan: ScanLog) -> None:
        """Gather a line.

        Raises
        ------
        ScanError
            For a line that has no place on the encoded grid.
        """
        row = row_of(line, encoding, log_of_scan, strict=False)
        if row is None:
            return
        key, readout = _slice_of(image_key(line)), readout_of(line)
        if key not in self._grids:
            n_x = max(grid_width(readout, encoding), readout.n_samples)
            self._grids[key] = new_grid(int(line.active_channels), encoding, n_x)
        add_readout(self._grids[key], readout, row, log_of_scan)
        self._blocks.pop(key, None)

    def keep(self, key: ImageKey, kspace: ComplexArray, counts: FloatArray) -> None:
        """Take over calibration (coil, z, y, x) on a grid, with its counts (z, y, x)."""
        block = centred_block(kspace, counts)
        if block is not None:
            self._blocks[_slice_of(key)] = block

    def block(self, key: ImageKey, kspace: ComplexArray, counts: FloatArray) -> ComplexArray | None:
        """Calibration block of an image: that of its slice's separate scan, else the middle of its own k-space.

        None where neither is fully sampled around DC.
        """
        kept = self._kept(_slice_of(key))
        if kept is not None:
            return kept
        own: ComplexArray | None = calibration_block(kspace, counts)
        return None if own is None else np.array(own)

    def _kept(self, key: _SliceKey) -> ComplexArray | None:
        if key in self._grids and key not in self._blocks:
            grid = self._grids[key]
            self._blocks[key] = centred_block(grid.mean(), grid.counts)
        return self._blocks.get(key)


def _slice_of(key: ImageKey) -> _SliceKey:
    return key.encoding, key.slice


def centred_block(kspace: ComplexArray, counts: FloatArray) -> ComplexArray | None:
    """The calibration block of a separate scan, which may count its lines from anywhere: its strongest line is the centre."""
    for axis in (0, 1):
        centre = counts.shape[axis] // 2
        energy = np.sum(np.abs(kspace) ** 2, axis=(0, 3)).sum(axis=1 - axis)
        if counts.shape[axis] > 1 and not np.any(np.take(counts, centre, axis=axis)):
            shift = centre - int(np.argmax(energy))
            kspace, counts = np.roll(kspace, shift, axis=axis + 1), np.roll(counts, shift, axis=axis)
    block: ComplexArray | None = calibration_block(kspace, counts)
    return None if block is None else np.array(block)
