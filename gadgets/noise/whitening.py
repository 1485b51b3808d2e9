"""The two noise gadgets of a scan: one collects noise lines, the other whitens every slice as a whole."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import ismrmrd
import numpy as np

from nilatron.core.backend import ComplexArray, to_numpy
from nilatron.core.noise import bandwidth_scale, covariance_from_data, whitening_matrix
from nilatron.core.words import counted
from nilatron.gadgets.device import retry_on_cpu
from nilatron.gadgets.flags import LineKind, kind_of
from nilatron.gadgets.items import Context, KSpaceSlice, NoiseReport, ScanError
from nilatron.gadgets.known_noise import GIVEN, MAX_OFFSET, NoiseCovariance
from nilatron.gadgets.noise.channels import Names
from nilatron.gadgets.noise.dwell import DwellTimes, dwell_of
from nilatron.gadgets.noise.evidence import is_uneven, silent_channels
from nilatron.gadgets.noise.header import bandwidth_ratio, coil_names
from nilatron.gadgets.noise.scan import NoiseScan
from nilatron.gadgets.noise.slices import (
    GADGETRON_SIGMA,
    checked,
    device_counts,
    finite_samples,
    has_signal,
    is_gadgetron_white,
    measured_sigma,
    whitened,
)
from nilatron.gadgets.noise.stored import StoredNoise, keep

log = logging.getLogger(__name__)

LATE_LINES = "noise lines after slices had left"
NOT_FINITE = "lines with values that are not finite, which no image needs"
NOT_FINITE_NOISE = "noise lines with values that are not finite"
CONTRADICTED = "slices whose noise is not that of the noise scan"
UNFIT_LINES = "noise lines with other channels, left out"


@dataclass(frozen=True)
class NoiseSettings:
    """What the chain in front has done: "yes" whitened by Gadgetron, "no", or "auto" to measure it."""

    whitened: str = "auto"  # noise of the incoming lines: measured, whitened by the chain in front (yes), or not (no)

    def __post_init__(self) -> None:
        """Refuse other words."""
        if self.whitened not in ("auto", "yes", "no"):
            raise ValueError(f"whitened must be auto, yes or no, got {self.whitened!r}")


class Whitening:
    """Both gadgets, which share what is known about the noise of the scan.

    Parameters
    ----------
    settings
        What the chain in front has done.
    known
        Noise covariance of a sample of all slices, where it is known without noise lines.
    """

    def __init__(self, settings: NoiseSettings, known: NoiseCovariance | None = None) -> None:
        self.settings = settings
        self._known = known
        self._scan = NoiseScan()
        self._stored = StoredNoise()
        self._dwell = DwellTimes()
        self._n_left = 0  # slices that have left
        self._told: set[str] = set()
        self._data_matrix: ComplexArray | None = None  # of the first slice, for all: one scale for all images
        self._data_sigma = 1.0

    def lines(self, items: Iterable[Any], context: Context) -> Iterator[Any]:
        """Collect noise lines and pass everything else; a measurement of noise alone is written to the context's store."""
        noise_alone = True
        for item in items:
            if not isinstance(item, ismrmrd.Acquisition):
                noise_alone &= isinstance(item, ismrmrd.Waveform)
                yield item
                continue
            kind = kind_of(item.flags)
            noise_alone &= kind in (LineKind.NOISE, LineKind.OTHER)
            if kind in (LineKind.IMAGING, LineKind.CALIBRATION):
                self._dwell.add(item, kind)
                yield item
            elif not np.isfinite(item.data).all():
                self._leave_out(item, kind, context)
            elif kind is LineKind.NOISE:
                self._collect(item, context)
            else:
                yield item
        noise = self._scan.largest(context) if noise_alone else None
        if noise is not None and context.noise_store is not None:
            keep(noise, context.noise_store, context)

    def slices(self, items: Iterable[Any], context: Context) -> Iterator[Any]:
        """Give every slice noise of variance 1, on the device where it is, and a report of how that is known."""
        for item in items:
            if isinstance(item, KSpaceSlice):
                dwell_times = self._dwell.take(item.head)
                if len(dwell_times) > 1:
                    times = ", ".join(f"{dwell_us:g}" for dwell_us in sorted(dwell_times))
                    item = item.with_note(f"its lines differ in dwell time ({times} us), and so in their noise")
                step = partial(self._settled, dwell_us=dwell_of(dwell_times), context=context)
                item = retry_on_cpu(step, item, context)
                self._n_left += 1
            yield item
        for unfit in self._scan.left_out():
            context.log.counts[UNFIT_LINES] += unfit.n_lines
            all_late = context.log.counts[LATE_LINES] == context.log.counts["noise lines"]
            why = "came after all images had left" if all_late and self._n_left else "fit no image"
            log.warning("%d noise lines of %d channels %s: left out", unfit.n_lines, len(unfit.total), why)

    def covariance(self, item: KSpaceSlice, context: Context) -> ComplexArray | None:
        """Noise covariance of a sample of the slice by the noise lines so far; None where there are none that can be used."""
        n_coils = int(item.kspace.shape[0])
        noise = self._of_noise_lines(coil_names(context.header, n_coils, item.head.channel_mask), n_coils, context)
        if noise is None:
            return None
        dwell_us = dwell_of(self._dwell.take(item.head))
        return noise.covariance * bandwidth_scale(noise.dwell_us, dwell_us, bandwidth_ratio(context.header))

    def _leave_out(self, line: ismrmrd.Acquisition, kind: LineKind, context: Context) -> None:
        """Tell a line that is not finite and that no image needs; one warning for each kind."""
        context.log.counts[NOT_FINITE_NOISE if kind is LineKind.NOISE else NOT_FINITE] += 1
        what = "noise line" if kind is LineKind.NOISE else "line that no image needs"
        if self._is_new(what):
            log.warning(
                "line %d, a %s, has values that are not finite: left out, as all of them", line.scan_counter, what
            )

    def _collect(self, line: ismrmrd.Acquisition, context: Context) -> None:
        context.log.counts["noise lines"] += 1
        if self._n_left:
            context.log.counts[LATE_LINES] += 1
        self._scan.add(line, context.header)

    def _settled(self, item: KSpaceSlice, dwell_us: float, context: Context) -> KSpaceSlice:
        item = finite_samples(item, context)
        if not has_signal(item):
            context.log.problem(log, f"{item.label}: all samples are zero")
            return replace(item, whitened=True, noise=NoiseReport("none", None, 0.0, 1.0)).with_note("no signal")
        n_coils = int(item.kspace.shape[0])
        names = coil_names(context.header, n_coils, item.head.channel_mask)
        if (noise := self._known or self._of_noise_lines(names, n_coils, context)) is not None:
            return self._whitened(self._with_late_note(item, context), noise, dwell_us, context)
        measured = measured_sigma(item)
        in_front = self.settings.whitened
        if in_front == "yes" or (in_front == "auto" and is_gadgetron_white(item, measured)):
            return checked(item, NoiseReport("upstream", GADGETRON_SIGMA, measured, GADGETRON_SIGMA), context)
        if (noise := self._stored.matched(names, n_coils, context)) is not None:
            return self._whitened(item, noise, dwell_us, context)
        return self._whitened_by_its_data(item, measured)

    def _of_noise_lines(self, names: Names | None, n_coils: int, context: Context) -> NoiseCovariance | None:
        """Noise covariance of an image's channels by the noise lines so far; stored noise where no line has these channels."""
        try:
            noise = self._scan.matched(names, n_coils, context)
        except ScanError:
            noise = self._stored.matched(names, n_coils, context)
            if noise is None:
                raise
        if noise is None and not self._scan.sums and context.log.counts[NOT_FINITE_NOISE] and self._is_new("no noise"):
            context.log.problem(log, "no noise line is finite: the noise is measured in the data")
        if noise is not None and noise.offset > MAX_OFFSET and self._is_new("offset"):
            text = f"the noise lines have an offset of {noise.offset:.2g} times their noise"
            context.log.problem(
                log, f"{text}: where lines of the image have it, too, there is a bright spot in the middle"
            )
        if noise is None or not noise.fault:
            return noise
        if self._is_new("noise scan at fault"):
            context.log.problem(log, f"the noise scan {noise.fault}: not used")
        return None

    def _with_late_note(self, item: KSpaceSlice, context: Context) -> KSpaceSlice:
        if not context.log.counts[LATE_LINES]:
            return item
        note = "noise lines came after other images of the scan had left, which are whitened without them"
        if self._is_new(note):
            log.warning("%s: %s", item.label, note)
        return item.with_note(note)

    def _is_new(self, message: str) -> bool:
        new = message not in self._told
        self._told.add(message)
        return new

    def _whitened(self, item: KSpaceSlice, noise: NoiseCovariance, dwell_us: float, context: Context) -> KSpaceSlice:
        origin, ratio = noise.origin, bandwidth_ratio(context.header)
        if silent := silent_channels(item, noise):
            what = f"no noise in {counted(len(silent), 'channel')} of the data ({', '.join(map(str, silent))})"
            return self._whitened_against(item, f"{origin.source}: {what}", context)
        scale = bandwidth_scale(noise.dwell_us, dwell_us, ratio)
        log.info("%s: whitening with %d noise samples, variance scale %.3f", item.label, noise.n_samples, scale)
        raw, item = item, whitened(item, np.asarray(whitening_matrix(noise.covariance * scale), np.complex64))
        measured = measured_sigma(item)
        if noise.offset <= MAX_OFFSET and is_uneven(item, noise.n_samples, measured):
            what = "the channels of the data have other noise, as those of other coils or in another order"
            return self._whitened_against(raw, f"{origin.source}: {what}", context)
        report = NoiseReport(
            source=origin.source,
            sigma_header=1.0,
            sigma_measured=measured,
            sigma_used=1.0,
            measurement_id=origin.measurement_id,
            dwell_us=noise.dwell_us,
            bandwidth_ratio=0.0 if origin.source == GIVEN else origin.bandwidth_ratio or ratio,
        )
        return checked(item, report, context)

    def _whitened_against(self, item: KSpaceSlice, why: str, context: Context) -> KSpaceSlice:
        """The slice whitened by its own data, which a noise scan contradicts."""
        context.log.counts[CONTRADICTED] += 1
        message = f"{why}; noise measured from the image data"
        log.warning("%s: %s", item.label, message)
        return self._white_by_data(item, measured_sigma(item), message)

    def _whitened_by_its_data(self, item: KSpaceSlice, measured: float) -> KSpaceSlice:
        if self._stored.missing:
            if self._is_new(self._stored.missing):
                log.warning("%s: %s", item.label, self._stored.missing)
            item = item.with_note(self._stored.missing)
        return self._white_by_data(item, measured, "no noise scan: noise measured from the image data")

    def _white_by_data(self, item: KSpaceSlice, measured: float, note: str) -> KSpaceSlice:
        if self._data_matrix is None or self._data_matrix.shape[0] != item.kspace.shape[0]:
            if measured <= 0:
                report = NoiseReport("unknown", None, 0.0, 1.0)
                return replace(item, whitened=True, noise=report).with_note("noise unknown")
            self._data_matrix = whitening_matrix(to_numpy(covariance_from_data(item.kspace, device_counts(item))))
            self._data_sigma = measured
            log.info("%s: whitening with the covariance of the quietest data", item.label)
        report = NoiseReport("data", None, measured, self._data_sigma)
        return replace(whitened(item, self._data_matrix), noise=report).with_note(note)
