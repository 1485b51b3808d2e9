"""Echo-planar lines become lines as those of any other scan: regridded, forwards, without the phase of their direction."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import ismrmrd
import numpy as np

from nilatron.gadgets.epi.description import is_epi, number_of_navigators, readout_gradient
from nilatron.gadgets.epi.navigators import Navigators, ShotKey, with_phase_removed
from nilatron.gadgets.epi.readout import RampSampling, forward_line, ramp_sampling, unturned
from nilatron.gadgets.flags import LineKind, is_phase_correction, is_reversed, kind_of
from nilatron.gadgets.items import Context, KSpaceSlice, ScanError, ScanLog
from nilatron.gadgets.placement import ImageKey, Readout, grid_width, image_key, readout_of

log = logging.getLogger(__name__)

UNCORRECTED = "lines read in both directions, no navigators of both: ghosts at half the field of view are likely"
UNDESCRIBED = (
    "is called EPI and its readouts are not described (trajectoryDescription): taken as equidistant samples; had they been "
    'taken on ramps, the image would be warped. regridded="true" says that they are equidistant'
)
GRIDDED = "gridded lines are flagged as read backwards: it is not known whether they were turned around"


@dataclass(frozen=True)
class EpiSettings:
    """Whether the chain in front has regridded the lines of echo-planar scans (Gadgetron's EPIReconX)."""

    regridded: bool = False  # true behind EPIReconX, which has regridded the lines


@dataclass
class EpiLines:
    """The two gadgets of one scan, in front of and behind the accumulation of lines.

    Lines of encodings that are no EPI pass as they are, unless they are read backwards and navigators came for them.
    """

    settings: EpiSettings = field(default_factory=EpiSettings)
    _navigators: Navigators = field(default_factory=Navigators)
    _ramps: dict[int, RampSampling | None] = field(default_factory=dict)
    _held: dict[ShotKey, list[ismrmrd.Acquisition]] = field(default_factory=dict)
    _directions: dict[ImageKey, set[bool]] = field(default_factory=dict)  # of the lines without correction
    _undescribed: set[int] = field(default_factory=set)  # encoding spaces

    def lines(self, items: Iterable[Any], context: Context) -> Iterator[Any]:
        """Lines in, lines out; navigators of echo-planar encodings stay here, everything else passes.

        Raises
        ------
        ScanError
            For ramp sampling that is stated incompletely, or that lines contradict.
        """
        self._navigators.log = context.log
        for item in items:
            if isinstance(item, ismrmrd.Acquisition):
                yield from self._take(item, context)
                continue
            if hasattr(item, "bits") or (hasattr(item, "data") and hasattr(item, "ref")):
                self._check_gathered(item, context)
            yield item
        for key in list(self._held):
            yield from self._released(key, context)

    def slices(self, items: Iterable[Any], context: Context) -> Iterator[Any]:
        """Slices in, slices out, with a note on those whose directions were not corrected; everything else passes."""
        del context
        for item in items:
            if isinstance(item, KSpaceSlice) and len(self._directions.get(image_key(item.head), ())) > 1:
                item = item.with_note(UNCORRECTED)
            if isinstance(item, KSpaceSlice) and int(item.head.encoding_space_ref) in self._undescribed:
                item = item.with_note(f"encoding {item.head.encoding_space_ref} {UNDESCRIBED}")
            yield item

    def _take(self, line: ismrmrd.Acquisition, context: Context) -> Iterator[ismrmrd.Acquisition]:
        kind, number = kind_of(line.flags), int(line.encoding_space_ref)
        is_navigator = kind is LineKind.OTHER and is_phase_correction(line.flags)
        is_other = kind is LineKind.NOISE or (kind is LineKind.OTHER and not is_navigator)
        if is_other or number >= len(context.header.encoding):
            yield line
            return
        encoding, key = context.header.encoding[number], (number, int(line.idx.slice))
        if is_navigator:
            n = self._add_navigator(key, line, context)
            if is_epi(encoding):
                context.log.counts["navigators of echo-planar readouts"] += 1
            else:
                yield line
            if key in self._held and n >= number_of_navigators(encoding):
                yield from self._released(key, context)
        elif key in self._held or self._waits(key, line, encoding):
            held = self._held.setdefault(key, [])
            held.append(line)
            if len(held) > int(encoding.encodedSpace.matrixSize.y) * int(encoding.encodedSpace.matrixSize.z):
                yield from self._released(key, context)
        else:
            yield self._forwards(key, line, context)

    def _add_navigator(self, key: ShotKey, line: ismrmrd.Acquisition, context: Context) -> int:
        """Take a navigator; how many its shot has now. One that cannot be used is told where EPI needs it."""
        log_of_scan = context.log if is_epi(context.header.encoding[key[0]]) else ScanLog()
        try:
            readout = self._on_grid(key[0], line, context.header, log_of_scan)
        except ScanError as error:
            if f"a navigator is left out: {error}" not in log_of_scan.problems:
                log_of_scan.problem(log, f"a navigator is left out: {error}")
            return 0
        return self._navigators.add(key, readout, backwards=is_reversed(line.flags))

    def _waits(self, key: ShotKey, line: ismrmrd.Acquisition, encoding: Any) -> bool:
        """Whether the navigators that the header announces for a line come after it."""
        return is_reversed(line.flags) and key not in self._navigators.shots and number_of_navigators(encoding) > 0

    def _released(self, key: ShotKey, context: Context) -> Iterator[ismrmrd.Acquisition]:
        for line in self._held.pop(key):
            yield self._forwards(key, line, context)

    def _forwards(self, key: ShotKey, line: ismrmrd.Acquisition, context: Context) -> ismrmrd.Acquisition:
        if key in self._navigators.shots:
            self._navigators.shots[key].is_over = True
        if is_reversed(line.flags) and self._navigators.shots:
            turned = self._on_grid(key[0], line, context.header, context.log)
            phase = self._navigators.phase(key, *turned.samples.shape)
            if phase is not None:
                context.log.counts["lines corrected for their direction"] += 1
                return forward_line(line, with_phase_removed(turned, phase))
        if is_epi(context.header.encoding[key[0]]):
            self._watch(line, context.log)
            self._tell_undescribed(line, context)
        readout = self._regridded(key[0], line, context.header, context.log)
        return line if readout is None else forward_line(line, readout)

    def _on_grid(self, number: int, line: ismrmrd.Acquisition, header: Any, log_of_scan: ScanLog) -> Readout:
        """The line forwards, with its echo where those read the other way have theirs."""
        readout = self._regridded(number, line, header, log_of_scan) or readout_of(line)
        return readout.on_grid(grid_width(readout, header.encoding[number]), log_of_scan)

    def _regridded(self, number: int, line: ismrmrd.Acquisition, header: Any, log_of_scan: ScanLog) -> Readout | None:
        """The line as the description of its encoding has it; None where that is as it came."""
        encoding = header.encoding[number]
        if self.settings.regridded and is_epi(encoding):
            return unturned(line) if is_reversed(line.flags) else None
        if number not in self._ramps:
            self._ramps[number] = ramp_sampling(encoding, number, log_of_scan)
        ramps = self._ramps[number]
        return None if ramps is None or ramps.is_even(line) else ramps.readout(line)

    def _watch(self, line: ismrmrd.Acquisition, log_of_scan: ScanLog) -> None:
        """Note the direction of a line without correction: an image must not have both, unless navigators speak."""
        key = image_key(line)
        seen = self._directions.setdefault(key, set())
        seen.add(is_reversed(line.flags))
        message = f"slice {key.slice}: {UNCORRECTED}"
        if len(seen) > 1 and not any(UNCORRECTED in problem for problem in log_of_scan.problems):
            log_of_scan.problem(log, message)

    def _tell_undescribed(self, line: ismrmrd.Acquisition, context: Context) -> None:
        """Tell an echo-planar readout that nothing describes: were its samples on ramps, no residual would tell."""
        number = int(line.encoding_space_ref)
        is_described = context.header.encoding[number].trajectoryDescription is not None or line.trajectory_dimensions
        if not self.settings.regridded and not is_described and number not in self._undescribed:
            self._undescribed.add(number)
            context.log.problem(log, f"encoding {number} {UNDESCRIBED}")

    def _check_gathered(self, item: Any, context: Context) -> None:
        """Refuse buckets and gridded data of ramp-sampled readouts; what of them was read backwards, uncorrected, is told."""
        for number, encoding in enumerate(context.header.encoding):
            gradient = None if self.settings.regridded else readout_gradient(encoding, number)
            if gradient is not None:
                raise ScanError(
                    f"{gradient.where} states ramp sampling, and its lines came in buckets or gridded: put EPIReconXGadget "
                    'in front of them (and regridded="true" here), or send lines'
                )
        echo_planar = [number for number, encoding in enumerate(context.header.encoding) if is_epi(encoding)]
        for line in getattr(item, "data", ()):
            if line.encoding_space_ref in echo_planar:
                self._watch(line, context.log)
        is_told = GRIDDED in context.log.problems
        if not is_told and any(_any_reversed(bit.data.headers) for bit in getattr(item, "bits", ())):
            context.log.problem(log, GRIDDED)


def _any_reversed(headers: Any) -> bool:
    """Whether an entry of a header array, structured or of objects, is flagged as read backwards."""
    flags = headers["flags"] if headers.dtype.names else [head.flags for head in headers.flat]
    return any(is_reversed(int(one)) for one in np.unique(np.asarray(flags, np.uint64)))
