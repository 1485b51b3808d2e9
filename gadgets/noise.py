"""Noise: noise scans become a covariance, lines are whitened, and every slice's noise level is checked against its data.

On a GPU slices are whitened there instead of their lines on the host. That is the same: whitening mixes coils, everything
between (readout oversampling, averaging, gridding) treats each coil alike and for itself.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import ismrmrd
import numpy as np

from nilatron.core.backend import Array, ComplexArray, converted_to, namespace, to_numpy
from nilatron.core.noise import (
    DEFAULT_BANDWIDTH_RATIO,
    bandwidth_scale,
    covariance_from_data,
    noise_covariance,
    sigma_from_data,
    whiten,
    whitening_matrix,
)
from nilatron.gadgets.device import retry_on_cpu
from nilatron.gadgets.flags import LineKind, kind_of
from nilatron.gadgets.items import Context, KSpaceSlice, NoiseReport, ScanError, with_samples

log = logging.getLogger(__name__)

TRUSTED = (0.8, 2.0)  # measured / claimed; above 1 the object's own high frequencies may be in it, below it cannot be
SUSPICIOUS = 1.25
GADGETRON_SIGMA = 2**0.5  # complex standard deviation after Gadgetron's whitening, which is 1 per real component


@dataclass(frozen=True)
class NoiseSettings:
    """What the chain in front has done: "yes" whitened by Gadgetron, "no", or "auto" to measure it."""

    whitened: str = "auto"

    def __post_init__(self) -> None:
        """Refuse other words."""
        if self.whitened not in ("auto", "yes", "no"):
            raise ValueError(f"whitened must be auto, yes or no, got {self.whitened!r}")


class Whitening:
    """The two noise gadgets of one scan, which share what is known about its noise."""

    def __init__(self, settings: NoiseSettings) -> None:
        self.settings = settings
        self._noise_lines: list[ismrmrd.Acquisition] = []
        self._matrix: ComplexArray | None = None  # from the noise scan
        self._data_matrix: ComplexArray | None = (
            None  # from the first slice, for the whole scan: one scale for all images
        )
        self._data_sigma = 1.0

    def lines(self, items: Iterable[Any], context: Context) -> Iterator[Any]:
        """Keep noise lines back and whiten the others, if there was a noise scan before them and the scan has no GPU."""
        for item in items:
            if not isinstance(item, ismrmrd.Acquisition):
                yield item
            elif not np.isfinite(item.data).all():
                context.log.problem(log, f"line {item.scan_counter} has values that are not finite: left out")
            elif kind_of(item.flags) is LineKind.NOISE:
                self._collect(item, context)
            else:
                if self._noise_lines:
                    self._matrix = self._from_noise_scan(item, context)
                    self._noise_lines = []
                yield item if self._matrix is None else self._white_line(item, self._matrix, context)

    def slices(self, items: Iterable[Any], context: Context) -> Iterator[Any]:
        """Give every slice noise of variance 1, on the device where it is, and a report of how that is known."""
        for item in items:
            if isinstance(item, KSpaceSlice):
                item = retry_on_cpu(lambda one: self._settle(one, context), item, context)
            yield item

    def _collect(self, line: ismrmrd.Acquisition, context: Context) -> None:
        if self._matrix is not None:
            context.log.counts["noise lines after the first imaging line, ignored"] += 1
            return
        context.log.counts["noise lines"] += 1
        self._noise_lines.append(line)

    def _from_noise_scan(self, line: ismrmrd.Acquisition, context: Context) -> ComplexArray | None:
        samples = np.concatenate([noise.data for noise in self._noise_lines], axis=1)
        if samples.shape[0] != line.active_channels:
            raise ScanError(
                f"the noise scan has {samples.shape[0]} channels and the image lines {line.active_channels}: "
                "they must match; remove the noise lines to have the noise measured from the image"
            )
        if samples.shape[1] < 2 * samples.shape[0] or not np.any(samples):
            context.log.problem(log, f"the noise scan has only {samples.shape[1]} samples or is empty: not used")
            return None
        dwell_noise, dwell = float(self._noise_lines[0].sample_time_us), float(line.sample_time_us)
        scale = bandwidth_scale(dwell_noise, dwell, bandwidth_ratio(context.header))
        log.info("whitening with %d noise samples, variance scale %.3f", samples.shape[1], scale)
        matrix: ComplexArray = whitening_matrix(noise_covariance(samples.astype(np.complex64)) * np.float32(scale))
        return matrix

    @staticmethod
    def _white_line(line: ismrmrd.Acquisition, matrix: ComplexArray, context: Context) -> ismrmrd.Acquisition:
        if line.active_channels != matrix.shape[0]:
            raise ScanError(
                f"line {line.scan_counter} has {line.active_channels} channels, the noise scan had {matrix.shape[0]}"
            )
        return line if _by_slice(context) else with_samples(line, whiten(matrix, np.asarray(line.data)))

    def _settle(self, item: KSpaceSlice, context: Context) -> KSpaceSlice:
        item = finite_samples(item, context)
        if self._matrix is not None and not item.whitened and _by_slice(context):
            item = _whitened(item, self._matrix)
        xp, counts = namespace(item.kspace), converted_to(item.counts, item.kspace)
        if not bool(xp.any(item.kspace != 0)):
            context.log.problem(log, f"{item.label}: all samples are zero")
            return replace(item, whitened=True, noise=NoiseReport("none", None, 0.0, 1.0)).with_note("no signal")
        try:
            measured = sigma_from_data(item.kspace, counts)
        except ValueError as error:
            log.warning("%s: %s; taking the claimed level", item.label, error)
            measured = 0.0
        if item.whitened or self._matrix is not None:
            return self._check(item, "noise scan", 1.0, measured, context)
        if self.settings.whitened == "yes" or (
            self.settings.whitened == "auto" and self._is_gadgetron_white(item, counts, measured)
        ):
            return self._check(item, "upstream", GADGETRON_SIGMA, measured, context)
        return self._whiten_from_data(item, counts, measured)

    def _is_gadgetron_white(self, item: KSpaceSlice, counts: Array, measured: float) -> bool:
        if not 0.85 < measured / GADGETRON_SIGMA < 1.15:
            return False
        covariance = to_numpy(covariance_from_data(item.kspace, counts)) / GADGETRON_SIGMA**2
        return bool(np.linalg.norm(covariance - np.eye(len(covariance))) < 0.3 * np.sqrt(len(covariance)))

    def _check(self, item: KSpaceSlice, source: str, claimed: float, measured: float, context: Context) -> KSpaceSlice:
        ratio = measured / claimed if measured > 0 else 1.0
        used = claimed
        if not TRUSTED[0] <= ratio <= TRUSTED[1]:
            used = measured
            context.log.counts["slices whose noise level was corrected"] += 1
            message = f"noise level: {source} says {claimed:.3g}, the data say {measured:.3g}; using the latter"
            log.warning("%s: %s", item.label, message)
            item = item.with_note(message)
        elif ratio > SUSPICIOUS:
            item = item.with_note(f"noise level: {source} says {claimed:.3g}, the data at most {measured:.3g}")
        log.info("%s: sigma_header %.3f, sigma_measured %.3f, sigma_used %.3f", item.label, claimed, measured, used)
        return _scaled(item, 1 / used, NoiseReport(source, claimed, measured, used))

    def _whiten_from_data(self, item: KSpaceSlice, counts: Array, measured: float) -> KSpaceSlice:
        if self._data_matrix is None or self._data_matrix.shape[0] != item.kspace.shape[0]:
            if measured <= 0:
                return replace(item, whitened=True, noise=NoiseReport("unknown", None, 0.0, 1.0)).with_note(
                    "noise unknown"
                )
            self._data_matrix = whitening_matrix(to_numpy(covariance_from_data(item.kspace, counts)))
            self._data_sigma = measured
            log.info("%s: no noise scan; whitening with the covariance of the quietest data", item.label)
        report = NoiseReport("data", None, measured, self._data_sigma)
        white = replace(_whitened(item, self._data_matrix), whitened=True, noise=report)
        return white.with_note("no noise scan: noise measured from the image data")


def finite_samples(item: KSpaceSlice, context: Context) -> KSpaceSlice:
    """The slice without the samples that are not finite in every coil: they count as not acquired."""
    xp = namespace(item.kspace)
    bad = ~xp.all(xp.isfinite(item.kspace), axis=0)
    n_bad = int(xp.sum(xp.astype(bad, xp.int64)))
    if not n_bad:
        return item
    context.log.problem(log, f"{item.label}: {n_bad} samples are not finite: left out")
    calibration = item.calibration
    if calibration is not None and not bool(xp.all(xp.isfinite(calibration))):
        calibration = None
    kspace = xp.where(bad, xp.zeros_like(item.kspace), item.kspace)
    counts = np.where(to_numpy(bad), np.float32(0), item.counts)
    return replace(item, kspace=kspace, counts=counts, calibration=calibration)


def _by_slice(context: Context) -> bool:
    """Whether slices are whitened, on the device of the scan, instead of lines."""
    return context.device != "cpu"


def _whitened(item: KSpaceSlice, matrix: ComplexArray) -> KSpaceSlice:
    """The slice and its calibration, whitened where they are."""
    by = converted_to(matrix, item.kspace)
    calibration = None if item.calibration is None else whiten(by, item.calibration)
    return replace(item, kspace=whiten(by, item.kspace), calibration=calibration)


def bandwidth_ratio(header: Any) -> float:
    """The header's relativeReceiverNoiseBandwidth, or Gadgetron's default."""
    system = header.acquisitionSystemInformation
    value = system.relativeReceiverNoiseBandwidth if system is not None else None
    return float(value) if value else DEFAULT_BANDWIDTH_RATIO


def _scaled(item: KSpaceSlice, factor: float, report: NoiseReport) -> KSpaceSlice:
    if factor == 1.0:
        return replace(item, whitened=True, noise=report)
    calibration = None if item.calibration is None else item.calibration * factor
    return replace(item, kspace=item.kspace * factor, calibration=calibration, whitened=True, noise=report)
