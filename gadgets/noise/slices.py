"""Steps of the whitening of one slice: its noise level measured, whitened, checked."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np

from nilatron.core.backend import Array, ComplexArray, converted_to, namespace, to_numpy
from nilatron.core.noise import covariance_from_data, sigma_from_data, whiten
from nilatron.gadgets.items import MOST_SAMPLE, Context, KSpaceSlice, NoiseReport

log = logging.getLogger(__name__)

TRUSTED = (0.8, 2.0)  # measured / claimed; above 1 the object's own high frequencies may be in it, below it cannot be
SUSPICIOUS = 1.25
GADGETRON_SIGMA = 2**0.5  # complex standard deviation after Gadgetron's whitening, which is 1 per real component


def finite_samples(item: KSpaceSlice, context: Context) -> KSpaceSlice:
    """The slice without the samples that are not finite in every coil: they count as not acquired."""
    xp = namespace(item.kspace)
    bad = ~xp.all(xp.abs(item.kspace) <= MOST_SAMPLE, axis=0)
    n_bad = int(xp.sum(xp.astype(bad, xp.int64)))
    if not n_bad:
        return item
    context.log.problem(log, f"{item.label}: {n_bad} samples are not finite: left out")
    calibration = item.calibration
    if calibration is not None and not bool(xp.all(xp.abs(calibration) <= MOST_SAMPLE)):
        calibration = None
    kspace = xp.where(bad, xp.zeros_like(item.kspace), item.kspace)
    counts = np.where(to_numpy(bad), np.float32(0), item.counts)
    return replace(item, kspace=kspace, counts=counts, calibration=calibration)


def has_signal(item: KSpaceSlice) -> bool:
    """Whether any sample is not zero."""
    return bool(namespace(item.kspace).any(item.kspace != 0))


def device_counts(item: KSpaceSlice) -> Array:
    """How often each sample was acquired, on the device of the k-space."""
    return converted_to(item.counts, item.kspace)


def measured_sigma(item: KSpaceSlice) -> float:
    """Complex standard deviation of the slice's noise as estimated from its data; 0 where there are too few lines."""
    try:
        return sigma_from_data(item.kspace, device_counts(item))
    except ValueError as error:
        log.warning("%s: %s; taking the claimed level", item.label, error)
        return 0.0


def is_gadgetron_white(item: KSpaceSlice, measured: float) -> bool:
    """Whether the noise is white with the level that Gadgetron's whitening leaves."""
    if not 0.85 < measured / GADGETRON_SIGMA < 1.15:
        return False
    covariance = to_numpy(covariance_from_data(item.kspace, device_counts(item))) / GADGETRON_SIGMA**2
    return bool(np.linalg.norm(covariance - np.eye(len(covariance))) < 0.3 * np.sqrt(len(covariance)))


def whitened(item: KSpaceSlice, matrix: ComplexArray) -> KSpaceSlice:
    """W y for k-space and calibration of the slice, and W S for its coil maps if it has some, on their device."""
    by = converted_to(matrix, item.kspace)
    calibration, maps = (None if array is None else whiten(by, array) for array in (item.calibration, item.coil_maps))
    return replace(item, kspace=whiten(by, item.kspace), calibration=calibration, coil_maps=maps, whitened=True)


def checked(item: KSpaceSlice, report: NoiseReport, context: Context) -> KSpaceSlice:
    """The slice with noise of variance 1: that of `report.sigma_header`, or of its own data where these contradict it.

    Parameters
    ----------
    item
        Whitened up to a factor.
    report
        Level claimed and measured (0: not to be had).
    context
        Counts the corrections.
    """
    claimed, measured, source = float(report.sigma_header or 1.0), report.sigma_measured, report.source
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
    item = replace(item, whitened=True, noise=replace(report, sigma_used=used))
    if used == 1.0:
        return item
    calibration = None if item.calibration is None else item.calibration * (1 / used)
    return replace(item, kspace=item.kspace * (1 / used), calibration=calibration)
