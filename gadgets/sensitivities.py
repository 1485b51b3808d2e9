"""Coil sensitivities of every slice, from its calibration block or, where there is none, from what was acquired."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from nilatron.core.coils.espirit import espirit_maps
from nilatron.core.coils.walsh import walsh_maps
from nilatron.core.fft import ifft
from nilatron.core.kspace import centre_window
from nilatron.gadgets.items import ComplexArray, Context, KSpaceSlice

log = logging.getLogger(__name__)


def estimate_sensitivities(items: Iterable[Any], context: Context) -> Iterator[Any]:
    """Fill `coil_maps` of the slices; everything else passes."""
    for item in items:
        yield with_maps(item, context) if isinstance(item, KSpaceSlice) else item


def with_maps(item: KSpaceSlice, context: Context) -> KSpaceSlice:
    """ESPIRiT where there is a calibration block with signal, Walsh on a low-resolution image where not."""
    shape = item.counts.shape
    if item.calibration is not None and np.any(item.calibration):
        maps: ComplexArray = espirit_maps(item.calibration, shape)
        if np.any(maps):
            return replace(item, coil_maps=maps)
    if item.kspace.shape[0] > 1 and np.any(item.kspace):
        context.log.counts["slices without usable calibration"] += 1
        log.warning("%s: no calibration block; coil maps from the low frequencies that were acquired", item.label)
        item = item.with_note("no calibration lines: coil maps are approximate")
    smooth = item.kspace * centre_window(item.kspace, item.counts)
    return replace(item, coil_maps=walsh_maps(ifft(smooth)))
