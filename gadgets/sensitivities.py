"""Coil sensitivities of every slice, from its calibration block or, where there is none, from what was acquired."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from nilatron.core.backend import Array, namespace
from nilatron.core.recon import FROM_CALIBRATION, FROM_ITS_IMAGE, FROM_LOW_FREQUENCIES, estimate_coil_maps
from nilatron.gadgets.device import retry_on_cpu
from nilatron.gadgets.items import Context, KSpaceSlice

log = logging.getLogger(__name__)

SAID = {  # of maps that are not ESPIRiT's: for the log, and for the image
    FROM_LOW_FREQUENCIES: (
        "no calibration block; coil maps from the low frequencies that were acquired",
        "no calibration lines: coil maps are approximate",
    ),
    FROM_ITS_IMAGE: (
        "coil maps of the calibration lines do not explain the signal of these lines; maps from their image instead",
        "coil maps of the calibration lines did not cover the object: maps from their image, approximate",
    ),
}


def estimate_sensitivities(items: Iterable[Any], context: Context) -> Iterator[Any]:
    """Fill `coil_maps` of the slices; everything else passes."""
    for item in items:
        yield (
            retry_on_cpu(lambda one: with_maps(one, context), item, context) if isinstance(item, KSpaceSlice) else item
        )


def with_maps(item: KSpaceSlice, context: Context) -> KSpaceSlice:
    """ESPIRiT where there is a calibration block with signal, Walsh on a low-resolution image where not.

    Maps that the slice has already are kept, scaled to sum_c |S_c|^2 = 1.
    """
    if item.coil_maps is not None:
        return replace(item, coil_maps=normalised_maps(item.coil_maps))
    noise_variance = 1.0 if item.whitened else 0.0
    maps, source = estimate_coil_maps(item.kspace, item.counts, item.calibration, noise_variance)
    if source != FROM_CALIBRATION and item.kspace.shape[0] > 1 and namespace(maps).any(item.kspace != 0):
        context.log.counts["slices without usable calibration"] += 1
        said, note = SAID[source]
        log.warning("%s: %s", item.label, said)
        item = item.with_note(note)
    return replace(item, coil_maps=maps)


def normalised_maps(maps: Array) -> Array:
    """Maps (coil, z, y, x) with sum_c |S_c|^2 = 1 where they are not 0."""
    xp = namespace(maps)
    norm = xp.sqrt(xp.sum(xp.real(maps) ** 2 + xp.imag(maps) ** 2, axis=0))
    return maps / xp.where(norm > 0, norm, xp.ones_like(norm))
