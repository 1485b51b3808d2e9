"""Lines become k-space: one `KSpaceSlice` for each image, handed on as soon as the plan of the scan says that it is whole."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import ismrmrd
import numpy as np

from nilatron.core.backend import ComplexArray
from nilatron.gadgets.calibration import CalibrationStore, FramePool
from nilatron.gadgets.encoding import encoding_of, has_separate_calibration, kept_width
from nilatron.gadgets.flags import LineKind, calibrates, is_last_in_slice, kind_of, other_names
from nilatron.gadgets.items import MOST_SAMPLE, Context, KSpaceSlice, ScanError
from nilatron.gadgets.open_slice import OpenSlice
from nilatron.gadgets.oversampling import without_oversampling
from nilatron.gadgets.placement import (
    ImageKey,
    add_readout,
    image_key,
    n_counting,
    new_grid,
    readout_of,
    row_of,
)
from nilatron.gadgets.plan.centre import centred, moved
from nilatron.gadgets.plan.scan import ScanPlan
from nilatron.gadgets.plan.together import mixed
from nilatron.gadgets.plan.weighed import widened
from nilatron.gadgets.widths import Widths

log = logging.getLogger(__name__)

EMPTY_LINES = "lines without samples, left out"


@dataclass
class Accumulator:
    """The gadget of one scan.

    Averages are averaged; segments are merged; calibration lines of an embedded scan are data as well, those of a separate
    scan only calibrate. An image that is whole but not calibrated waits while calibration for it may still come: lines that
    only calibrate, or other frames of the same object, whose lines fill k-space together.
    """

    calibration: CalibrationStore = field(default_factory=CalibrationStore)
    open: dict[ImageKey, OpenSlice] = field(default_factory=dict)
    waiting: dict[ImageKey, KSpaceSlice] = field(default_factory=dict)  # whole, but not calibrated
    pools: dict[ImageKey, FramePool] = field(default_factory=dict)  # by image, with its frame set to 0
    held: dict[ImageKey, list[ismrmrd.Acquisition]] = field(default_factory=dict)  # that only calibrate, see `_settle`

    def __post_init__(self) -> None:
        """Share with the calibration what the lines of images show of their oversampling."""
        self.widths = Widths(self.calibration.oversampled)

    def __call__(self, items: Iterable[Any], context: Context) -> Iterator[Any]:
        """Acquisitions in, slices out; everything else passes."""
        self.calibration.log = context.log
        plan = ScanPlan(context.header, context.heads)
        for sentence in mixed(context.header, context.heads) if context.heads is not None else ():
            context.log.problem(log, sentence)
        for item in items:
            if isinstance(item, ismrmrd.Acquisition):
                yield from self._take(item, plan, context)
            elif isinstance(item, ismrmrd.Waveform):
                context.log.counts["waveforms"] += 1
            else:
                yield item
        for key in list(dict.fromkeys((*self.open, *self.held))):
            yield from self._close(key, plan, context)
        for key in list(self.waiting):
            yield self._released(key, self._late_block(key, context))

    def _take(self, line: ismrmrd.Acquisition, plan: ScanPlan, context: Context) -> Iterator[KSpaceSlice]:
        kind = kind_of(line.flags)
        if kind in (LineKind.OTHER, LineKind.NOISE):
            for name in other_names(line.flags) or ["noise"]:
                context.log.counts[f"lines left out: {name}"] += 1
            return
        key, encoding = image_key(line), encoding_of(context.header, line.encoding_space_ref)
        if n_counting(line) < 1:
            if not context.log.counts[EMPTY_LINES]:
                log.warning("line %d has no samples that count: left out, as all such lines", line.scan_counter)
            context.log.counts[EMPTY_LINES] += 1
            if plan.skip(key, only_calibrates=has_separate_calibration(encoding) and calibrates(line.flags)):
                yield from self._close(key, plan, context)
            return
        is_finite = bool((np.abs(line.data.view(np.float32)) <= MOST_SAMPLE).all())
        if not is_finite:
            context.log.problem(log, f"line {line.scan_counter} has values that are not finite: left out")
        if has_separate_calibration(encoding) and calibrates(line.flags):
            plan.take_calibration(key.slice)
            if is_finite:
                self.calibration.add(line)
            if kind is LineKind.CALIBRATION:
                context.log.counts["calibration lines"] += 1
                if not plan.waits_for_calibration(key):
                    yield from self._release_calibrated(plan, context)
                return
        self._widen(line, encoding)
        row = row_of(line, encoding, context.log)
        step = (int(line.idx.kspace_encode_step_1), int(line.idx.kspace_encode_step_2))
        is_last = is_last_in_slice(line.flags)
        if not plan.take(key, step, is_last=is_last, average=int(line.idx.average)):
            self._tell_late(key, plan, context)
            return
        context.log.counts["imaging lines"] += 1
        if self.waiting:
            yield from self._release_calibrated(plan, context)
        if not plan.has_channels(key, int(line.active_channels)):
            context.log.problem(
                log, f"line {line.scan_counter} has {line.active_channels} channels, unlike most of its image: left out"
            )
        elif row is not None and is_finite and kind is LineKind.CALIBRATION and context.heads is None:
            self.held.setdefault(key, []).append(line)
        elif row is not None and is_finite:
            self._add(key, line, row, encoding, context)
        for whole in plan.whole_after(key):
            yield from self._close(whole, plan, context)

    def _widen(self, line: ismrmrd.Acquisition, encoding: Any) -> None:
        """Move what is placed already where a line shows that the header's limits are those of another scan."""
        z, y = (widened(encoding, step, int(getattr(line.idx, f"kspace_encode_step_{step}"))) for step in (2, 1))
        for key, one in self.open.items() if z or y else ():
            if key.encoding != line.encoding_space_ref:
                continue
            found = moved(one.grid.total, one.grid.counts, (z, y, 0))
            if found is None:
                raise ScanError(
                    f"line {line.scan_counter} and the lines before it do not fit into the encoded matrix together"
                )
            one.grid.total, one.grid.counts = found

    def _add(
        self, key: ImageKey, line: ismrmrd.Acquisition, row: tuple[int, int], encoding: Any, context: Context
    ) -> None:
        readout, n_kept = readout_of(line), kept_width(encoding)
        n_x = self.widths.of(key.encoding, readout, encoding, context.log)
        if key not in self.open:
            self.open[key] = OpenSlice(new_grid(int(line.active_channels), encoding, n_kept), line.getHead())
        target = self.open[key]
        if readout.n_samples == int(encoding.encodedSpace.matrixSize.x):
            target.check_echo(readout, context.log)
        add_readout(target.grid, without_oversampling(readout, encoding, n_x, context.log), row, context.log)
        target.look_at(line, row)

    def _settle(self, key: ImageKey, context: Context) -> None:
        """Add the lines of a stream that only calibrate to their image, unless lines of the image lie where they do.

        Then they are another scan, whatever the mode that the header states: of another contrast, perhaps. Files are weighed
        as a whole, by their heads.
        """
        held = self.held.pop(key, [])
        encoding = encoding_of(context.header, key.encoding)
        placed = [(line, row_of(line, encoding, context.log)) for line in held]
        counts = self.open[key].grid.counts if key in self.open else None
        n_doubled = sum(counts is not None and row is not None and bool(counts[row].any()) for _, row in placed)
        if n_doubled:
            log.warning(
                "%d lines only calibrate, and %d of them lie where lines of the image do: taken as a separate scan",
                *(len(held), n_doubled),
            )
        for line, row in placed:
            if n_doubled:
                self.calibration.add(line)
            elif row is not None:
                self._add(key, line, row, encoding, context)

    def _close(self, key: ImageKey, plan: ScanPlan, context: Context) -> Iterator[KSpaceSlice]:
        missing = plan.close(key) if key in plan.images else ""
        self._settle(key, context)
        done = self.open.pop(key, None)
        if done is None:  # no line of it had a place
            return
        context.log.counts["slices"] += 1
        item = KSpaceSlice(
            kspace=done.grid.mean(),
            counts=done.grid.counts,
            calibration=None,
            head=done.head,
            encoding=encoding_of(context.header, key.encoding),
        )
        item = done.places.settled(item, context.log)
        if missing:
            context.log.problem(log, f"{item.label}: incomplete: {missing}")
            item = item.with_note(f"incomplete: {missing}")
        kspace, counts, note = centred(item.kspace, item.counts, item.label, context.log)
        item = replace(item, kspace=kspace, counts=counts).with_note(note) if note else item
        self.widths.check_centre(key.encoding, note, item.label, context.log)
        block = self.calibration.block(key, item.kspace, item.counts, context.header)
        undersampled = acceleration(item.counts) > 1
        waits = plan.waits_for_calibration(key) and (plan.upcoming is not None or not self._is_calibrated(key, block))
        if waits or (
            block is None and undersampled and (plan.waits_for_frames(key) or self._pool(key).counts is not None)
        ):
            self._pool(key).add(item.kspace, item.counts)
            self.waiting[key] = item
            yield from self._release_calibrated(plan, context)
            return
        if block is not None and self.waiting:  # of a frame of the same object, perhaps
            yield from self._release_calibrated(plan, context)
        yield described(replace(item, calibration=block))

    def _is_calibrated(self, key: ImageKey, block: ComplexArray | None) -> bool:
        return block is not None or self.calibration.has_lines_of(key.slice)

    def _release_calibrated(self, plan: ScanPlan, context: Context) -> Iterator[KSpaceSlice]:
        """Images that waited and have their calibration now."""
        for key in list(self.waiting):
            if plan.upcoming is not None and plan.waits_for_calibration(key):
                continue
            block = self._late_block(key, context)
            if block is not None:
                yield self._released(key, block)

    def _late_block(self, key: ImageKey, context: Context) -> ComplexArray | None:
        """Calibration of an image that waited: lines that only calibrate, else all frames together."""
        item = self.waiting[key]
        block = self.calibration.block(key, item.kspace, item.counts, context.header)
        return self._pool(key).block() if block is None else block

    def _released(self, key: ImageKey, block: ComplexArray | None) -> KSpaceSlice:
        return described(replace(self.waiting.pop(key), calibration=block))

    def _pool(self, key: ImageKey) -> FramePool:
        return self.pools.setdefault(key.without_frame(), FramePool())

    def _tell_late(self, key: ImageKey, plan: ScanPlan, context: Context) -> None:
        context.log.counts["late lines"] += 1
        if plan.late[key] == 1:
            context.log.problem(
                log, f"lines of slice {key.slice} came after its image had left, which lacks them: {key._asdict()}"
            )


def described(item: KSpaceSlice) -> KSpaceSlice:
    """The slice, with a line in the log."""
    log.info(
        "%s: %.1f-fold undersampled, calibration %s",
        item.label,
        acceleration(item.counts),
        "none" if item.calibration is None else "x".join(str(n) for n in item.calibration.shape[1:]),
    )
    return item


def acceleration(counts: np.ndarray[Any, Any]) -> float:
    """Grid lines per acquired line."""
    acquired = int(np.count_nonzero(counts.max(axis=-1)))
    return float(counts.shape[0] * counts.shape[1] / max(1, acquired))
