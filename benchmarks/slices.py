"""Slices of raw files, for the benchmarks."""

from __future__ import annotations

from pathlib import Path

import ismrmrd

from nilatron.gadgets.accumulate import Accumulator
from nilatron.gadgets.flags import LineKind, kind_of
from nilatron.gadgets.items import Context, KSpaceSlice
from nilatron.gadgets.noise import NoiseSettings, Whitening
from nilatron.pipelines.files.raw import open_raw


def first_slice(path: Path, *, with_noise_scan: bool = True, whitened: bool = True) -> tuple[KSpaceSlice, Context]:
    """The first slice of a raw file without coil maps; on request as if there were no noise lines, or as acquired."""

    def wanted(item: object) -> bool:
        is_noise = isinstance(item, ismrmrd.Acquisition) and kind_of(item.flags) is LineKind.NOISE
        return not is_noise or (with_noise_scan and whitened)

    with open_raw(path) as raw:
        context = Context(raw.header)
        whitening = Whitening(NoiseSettings())
        items = (item for item in raw.items() if wanted(item))
        lines = whitening.lines(items, context)
        slices = Accumulator()(lines, context)
        return next(whitening.slices(slices, context) if whitened else slices), context
