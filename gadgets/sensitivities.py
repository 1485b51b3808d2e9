"""Coil sensitivities of every slice, from its calibration block or, where that is thin or absent, from all its lines."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from nilatron.core.backend import Array, namespace
from nilatron.core.recon import (
    FROM_CALIBRATION,
    FROM_ITS_IMAGE,
    FROM_JOINT,
    FROM_LOW_FREQUENCIES,
    FROM_MOVED,
    WAYS,
    estimate_coil_maps,
    has_thin_maps,
)
from nilatron.gadgets.device import retry_on_cpu
from nilatron.gadgets.items import Context, KSpaceSlice

log = logging.getLogger(__name__)

NO_CALIBRATION = (
    "no calibration block; coil maps and image estimated jointly",
    "no calibration lines: coil maps are approximate, estimated jointly with the image",
)
SAID = {  # of maps that are not ESPIRiT's: for the log, and for the image
    FROM_JOINT: (
        "few calibration lines; coil maps and image estimated jointly",
        "few calibration lines: coil maps estimated jointly with the image",
    ),
    FROM_MOVED: (
        "coil maps of the separate calibration fit these lines better at another place; moved there",
        "separate calibration of another place: its coil maps were moved to where they fit the lines",
    ),
    FROM_LOW_FREQUENCIES: (
        "no calibration block; coil maps from the low frequencies that were acquired",
        "no calibration lines: coil maps are approximate",
    ),
    FROM_ITS_IMAGE: (
        "coil maps of the calibration lines do not explain the signal of these lines; maps from their image instead",
        "coil maps of the calibration lines did not cover the object: maps from their image, approximate",
    ),
}


@dataclass(frozen=True)
class MapSettings:
    """Properties of the coil maps."""

    coil_maps: str = "auto"  # auto, or espirit, joint or walsh wherever the data allow it
    map_sets: str = "auto"  # auto: 2 where the field of view is smaller than the object; 1; 2

    def __post_init__(self) -> None:
        """Refuse other words."""
        if self.map_sets not in ("auto", "1", "2"):
            raise ValueError(f"map_sets must be auto, 1 or 2, got {self.map_sets!r}")
        if self.coil_maps not in WAYS:
            raise ValueError(f"coil_maps must be {', '.join(WAYS[:-1])} or {WAYS[-1]}, got {self.coil_maps!r}")

    @property
    def n_sets(self) -> int | None:
        """Sets that ESPIRiT makes; None: as many as the data hold."""
        return None if self.map_sets == "auto" else int(self.map_sets)


@dataclass(frozen=True)
class Sensitivities:
    """The gadget: fills `coil_maps` of the slices; everything else passes."""

    settings: MapSettings

    def __call__(self, items: Iterable[Any], context: Context) -> Iterator[Any]:
        """Slices with their maps."""
        for item in items:
            if isinstance(item, KSpaceSlice):
                yield retry_on_cpu(lambda one: with_maps(one, context, self.settings), item, context)
            else:
                yield item


def estimate_sensitivities(items: Iterable[Any], context: Context) -> Iterator[Any]:
    """The gadget with its default settings."""
    return Sensitivities(MapSettings())(items, context)


def with_maps(item: KSpaceSlice, context: Context, settings: MapSettings) -> KSpaceSlice:
    """The slice with its maps, and with a note where they are not those of its calibration block.

    Maps that the slice has already are kept, scaled to sum_c |S_c|^2 = 1.
    """
    if item.coil_maps is not None:
        return replace(item, coil_maps=normalised_maps(item.coil_maps))
    noise_variance = 1.0 if item.whitened else 0.0
    maps, source = estimate_coil_maps(
        item.kspace, item.counts, item.calibration, noise_variance, settings.coil_maps, settings.n_sets
    )
    if item.kspace.shape[0] > 1 and namespace(maps).any(item.kspace != 0):
        thin = has_thin_maps(source, item.kspace, item.counts, item.calibration, noise_variance)
        item = replace(_told(item, source, context), maps_from=source, thin_maps=thin)
    return replace(item, coil_maps=maps)


def _told(item: KSpaceSlice, source: str, context: Context) -> KSpaceSlice:
    if source == FROM_CALIBRATION:
        return item
    calibrated = item.calibration is not None and bool(namespace(item.calibration).any(item.calibration != 0))
    said, note = SAID[source] if calibrated or source != FROM_JOINT else NO_CALIBRATION
    if calibrated and source in (FROM_JOINT, FROM_MOVED):
        log.info("%s: %s", item.label, said)
    else:
        context.log.counts["slices without usable calibration"] += 1
        log.warning("%s: %s", item.label, said)
    return item.with_note(note)


def normalised_maps(maps: Array) -> Array:
    """Maps (coil, z, y, x) with sum_c |S_c|^2 = 1 where they are not 0."""
    xp = namespace(maps)
    norm = xp.sqrt(xp.sum(xp.real(maps) ** 2 + xp.imag(maps) ** 2, axis=0))
    return maps / xp.where(norm > 0, norm, xp.ones_like(norm))
