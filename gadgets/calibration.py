"""What calibrates what: the lines of a separate calibration scan, whichever way they come, and frames for each other."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import ismrmrd
import numpy as np

from nilatron.core.backend import ComplexArray, FloatArray
from nilatron.core.kspace import KSpaceAccumulator, calibration_block
from nilatron.gadgets.encoding import encoding_of, kept_width
from nilatron.gadgets.items import ScanError, ScanLog
from nilatron.gadgets.oversampling import without_oversampling
from nilatron.gadgets.placement import ImageKey, add_readout, grid_width, image_key, new_grid, readout_of, row_of
from nilatron.gadgets.plan.centre import centre_shift, moved

log = logging.getLogger(__name__)

SAME_FOV = 0.02  # relative difference of two fields of view that count as equal
_Grids: TypeAlias = "list[tuple[ComplexArray, FloatArray]]"
_Lines: TypeAlias = "dict[ImageKey, list[ismrmrd.Acquisition]]"


@dataclass
class CalibrationStore:
    """The separate calibration of one scan.

    Lines are kept as they come and put on a grid when an image asks for them: only then is it known how the readouts of the
    scan are. Calibration that comes gridded takes the place of what was kept, if it has a block.

    Attributes
    ----------
    log
        Of the scan.
    lines
        By encoding space, slice, contrast, phase, set and repetition.
    oversampled
        By encoding space that has some, whether readouts still have their oversampling, as the lines of images show.
    """

    log: ScanLog = field(default_factory=ScanLog)
    lines: dict[ImageKey, list[ismrmrd.Acquisition]] = field(default_factory=dict)
    oversampled: dict[int, bool] = field(default_factory=dict)
    _gridded: dict[tuple[int, int], ComplexArray] = field(default_factory=dict)
    _of_frames: dict[ImageKey, ComplexArray] = field(default_factory=dict)  # own blocks of the latest frames
    _blocks: dict[tuple[ImageKey, int, bool], ComplexArray | None] = field(default_factory=dict)

    def add(self, line: ismrmrd.Acquisition) -> None:
        """Keep a line."""
        self.lines.setdefault(image_key(line), []).append(line)
        self._blocks.clear()

    def keep(self, key: ImageKey, kspace: ComplexArray, counts: FloatArray) -> None:
        """Take over calibration (coil, z, y, x) on a grid, with its counts (z, y, x)."""
        block = centred_block(kspace, counts)
        if block is not None:
            self._gridded[key.encoding, key.slice] = block

    def has_lines_of(self, slice_number: int) -> bool:
        """Whether any line calibrates a slice."""
        return any(key.slice == slice_number for key in self.lines)

    def block(self, key: ImageKey, kspace: ComplexArray, counts: FloatArray, header: Any) -> ComplexArray | None:
        """Calibration block of an image: that of its slice's separate scan, of its own k-space, else of an earlier frame.

        None where none of them is fully sampled around DC.
        """
        is_cropped = kspace.shape[-1] <= kept_width(header.encoding[key.encoding])
        found = self._separate(key, kspace.shape[0], header, is_cropped=is_cropped)
        if found is not None and found.shape[0] == kspace.shape[0]:
            return found
        own: ComplexArray | None = calibration_block(kspace, counts)
        if own is not None:
            self._of_frames[key.without_frame()] = np.array(own)
        block = self._of_frames.get(key.without_frame())
        if block is None or block.shape[0] != kspace.shape[0]:
            return None
        if own is None:
            self.log.counts["images calibrated by another frame"] += 1
        return np.array(block)

    def _separate(self, key: ImageKey, n_coils: int, header: Any, *, is_cropped: bool) -> ComplexArray | None:
        if (key.encoding, key.slice) in self._gridded:
            return self._gridded[key.encoding, key.slice]
        if (key, n_coils, is_cropped) not in self._blocks:
            lines = self._of_channels(key.slice, n_coils)
            grids = self._grids(lines, best_match(key, lines), key, header, is_cropped=is_cropped)
            self._blocks[key, n_coils, is_cropped] = None if not grids else centred_block(*mean_of(grids))
        return self._blocks[key, n_coils, is_cropped]

    def _of_channels(self, slice_number: int, n_coils: int) -> _Lines:
        """The lines of a slice that have the channels of its images: a body coil may have been read out in turn."""
        own = {key: lines for key, lines in self.lines.items() if key.slice == slice_number}
        found = {key: [line for line in lines if line.active_channels == n_coils] for key, lines in own.items()}
        found = {key: lines for key, lines in found.items() if lines}
        others = {int(line.active_channels) for lines in own.values() for line in lines} - {n_coils}
        if others and not found:
            numbers = ", ".join(map(str, sorted(others)))
            self._tell(f"calibration lines have {numbers} channels, the images {n_coils}: not used")
        elif others:
            self.log.counts["slices with calibration lines of other channels, left out"] += 1
        return found

    def _grids(
        self, lines: _Lines, keys: Iterable[ImageKey], image: ImageKey, header: Any, *, is_cropped: bool
    ) -> _Grids:
        grids: dict[int, KSpaceAccumulator] = {}
        for key in keys:
            try:
                encoding = encoding_of(header, key.encoding)
            except ScanError as error:
                self._tell(f"calibration of slice {key.slice} is not used: {error}")
                continue
            if not has_fov_of(encoding, header.encoding[image.encoding]):
                self._tell(
                    f"calibration of encoding space {key.encoding} has another field of view than the images of "
                    f"{image.encoding}: not used"
                )
                continue
            for line in lines[key]:
                self._add_line(grids, line, encoding, image.encoding, is_cropped=is_cropped)
        shapes = {grid.total.shape for grid in grids.values()}
        if len(shapes) > 1:  # of several encoding spaces: that of the image, else the one with the most lines
            chosen = grids.get(image.encoding) or max(grids.values(), key=lambda grid: float(grid.counts.sum()))
            return [(chosen.mean(), chosen.counts)]
        return [(grid.mean(), grid.counts) for grid in grids.values()]

    def _add_line(
        self,
        grids: dict[int, KSpaceAccumulator],
        line: ismrmrd.Acquisition,
        encoding: Any,
        image_encoding: int,
        *,
        is_cropped: bool,
    ) -> None:
        try:
            row = row_of(line, encoding, self.log, strict=False)
            if row is None:
                return
            readout = readout_of(line)
            number = int(line.encoding_space_ref)
            known = next((self.oversampled[one] for one in (number, image_encoding) if one in self.oversampled), None)
            is_oversampled = grid_width(readout, encoding) > kept_width(encoding) if known is None else known
            n_x = int(encoding.encodedSpace.matrixSize.x) if is_oversampled else kept_width(encoding)
            if is_cropped:
                readout = without_oversampling(readout, encoding, n_x, self.log)
                n_x = kept_width(encoding)
            if number not in grids:
                grids[number] = new_grid(int(line.active_channels), encoding, n_x)
            add_readout(grids[number], readout, row, self.log)
        except ScanError as error:
            self._tell(f"a calibration line is left out: {error}")

    def _tell(self, message: str) -> None:
        if message not in self.log.problems:
            self.log.problem(log, message)


def best_match(image: ImageKey, keys: Iterable[ImageKey]) -> list[ImageKey]:
    """Calibration of the slice of an image: of its encoding space, contrast and set where there is some, else of others.

    Frames and repetitions calibrate each other: their lines are averaged.
    """
    found = [key for key in keys if key.slice == image.slice]
    own = [key for key in found if key.encoding == image.encoding]
    found = own or found
    for name in ("contrast", "set"):
        equal = [key for key in found if getattr(key, name) == getattr(image, name)]
        found = equal or found
    return found


def has_fov_of(encoding: Any, other: Any) -> bool:
    """Whether two encodings encode the same field of view, so that k-space of one has the spacing of the other."""
    pairs = [
        (getattr(encoding.encodedSpace.fieldOfView_mm, axis), getattr(other.encodedSpace.fieldOfView_mm, axis))
        for axis in "yz"
    ]
    pairs.append((encoding.reconSpace.fieldOfView_mm.x, other.reconSpace.fieldOfView_mm.x))
    return all(abs(float(a) - float(b)) <= SAME_FOV * max(float(a), float(b)) for a, b in pairs)


def mean_of(grids: _Grids) -> tuple[ComplexArray, FloatArray]:
    """Average of k-spaces of one shape, each sample weighted by how often it was acquired, and the sum of the counts."""
    kspace, counts = grids[0]
    total, counts = kspace * counts, np.array(counts)
    for other, own in grids[1:]:
        total += other * own
        counts += own
    return (total / np.maximum(counts, 1)).astype(np.complex64, copy=False), counts


@dataclass
class FramePool:
    """K-space of all frames of an object together: interleaved frames fill it, though none of them alone is calibrated."""

    total: ComplexArray | None = None
    counts: FloatArray | None = None

    def add(self, kspace: ComplexArray, counts: FloatArray) -> None:
        """Take the mean k-space of a frame with its counts; frames of another shape are left out."""
        if self.total is None or self.counts is None:
            self.total, self.counts = kspace * counts, np.array(counts)
        elif self.total.shape == kspace.shape:
            self.total += kspace * counts
            self.counts += counts

    def block(self) -> ComplexArray | None:
        """Calibration block of the frames so far; None where they are not fully sampled around DC."""
        if self.total is None or self.counts is None:
            return None
        block: ComplexArray | None = calibration_block(self.total / np.maximum(self.counts, 1), self.counts)
        return None if block is None else np.array(block)


def centred_block(kspace: ComplexArray, counts: FloatArray) -> ComplexArray | None:
    """The calibration block of a separate scan, which may count its lines from anywhere: its strongest line is the centre."""
    shift = [0, 0, 0]
    for axis in (0, 1):
        centre = counts.shape[axis] // 2
        if counts.shape[axis] > 1 and not np.any(np.take(counts, centre, axis=axis)):
            energy = np.sum(np.abs(kspace) ** 2, axis=(0, 3)).sum(axis=1 - axis)
            shift[axis] = centre - int(np.argmax(energy))
    if not any(shift):
        shift = list(centre_shift(kspace, counts))
    if any(shift):
        kspace, counts = moved(kspace, counts, (shift[0], shift[1], shift[2])) or (kspace, counts)
    block: ComplexArray | None = calibration_block(kspace, counts)
    return None if block is None else np.array(block)
