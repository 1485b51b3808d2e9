"""One node of a chain: from lines, buckets or gridded data to images, for a named target."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from nilatron.core.prior.weights import DEFAULT_WEIGHTS
from nilatron.gadgets.accumulate import Accumulator
from nilatron.gadgets.calibration import CalibrationStore
from nilatron.gadgets.compression import CoilCompression, CompressionSettings
from nilatron.gadgets.device import on_device
from nilatron.gadgets.doubt import DoubtSettings
from nilatron.gadgets.epi.correct import EpiLines, EpiSettings
from nilatron.gadgets.images import ImageMaker, ImageSettings
from nilatron.gadgets.items import Context, Gadget
from nilatron.gadgets.methods import METHODS, Method
from nilatron.gadgets.noise import NoiseSettings, Whitening
from nilatron.gadgets.recon_data import slices_from_bucket, slices_from_recon_data
from nilatron.gadgets.reconstruct import Reconstructor
from nilatron.gadgets.sensitivities import MapSettings, Sensitivities
from nilatron.gadgets.settings import SettingsError, from_properties, property_fields
from nilatron.gadgets.statements import StatementCheck


def build_node(
    target: str,
    properties: Mapping[str, str],
    weights: Path = DEFAULT_WEIGHTS,
    methods: Mapping[str, Method] = METHODS,
) -> Gadget:
    """The gadget for TARGET, fed with whatever the chain in front sends.

    Parameters
    ----------
    target
        A name of `methods`.
    properties
        Of the node's `<configuration>`; each belongs to the noise gadget, the echo-planar lines, the coil compression, the
        coil maps, the method, the doubt or the image gadget. `seed` overrides the seed of the context.
    weights
        Of the prior.
    methods
        The reconstructions by name.

    Raises
    ------
    SettingsError
        For an unknown target, an unknown property or a value that cannot be used.
    """
    if target not in methods:
        raise SettingsError(f"unknown target {target!r}: choose from {', '.join(methods)}")
    parts = (
        NoiseSettings,
        EpiSettings,
        CompressionSettings,
        MapSettings,
        methods[target].settings_class,
        DoubtSettings,
        ImageSettings,
        SeedSettings,
    )
    names = {part: property_fields(part) for part in parts}
    known = {name: field for fields in names.values() for name, field in fields.items()}
    unknown = [name for name in properties if name not in known]
    if unknown:
        raise SettingsError(
            f"{target} has no property {unknown[0]!r}; it has: {', '.join(sorted(set(known.values())))}"
        )
    noise, epi, coils, maps, method, doubt, images, seed = (
        from_properties(part, {k: v for k, v in properties.items() if k in names[part]}, target) for part in parts
    )

    def node(items: Iterable[Any], context: Context) -> Iterator[Any]:
        if seed.seed is not None:
            context = dataclasses.replace(context, seed=seed.seed)
        whitening, readouts = Whitening(noise), EpiLines(epi)
        stream: Iterator[Any] = StatementCheck()(items, context)
        stream = whitening.lines(stream, context)
        stream = readouts.lines(stream, context)
        calibration = CalibrationStore(context.log)
        stream = Accumulator(calibration)(stream, context)
        stream = unpack(stream, context, calibration)
        stream = readouts.slices(stream, context)
        stream = on_device(stream, context)
        stream = whitening.slices(stream, context)
        stream = CoilCompression(coils)(stream, context)
        stream = Sensitivities(maps)(stream, context)
        stream = Reconstructor(target, method, weights, methods, doubt)(stream, context)
        return ImageMaker(images)(stream, context)

    return node


@dataclasses.dataclass(frozen=True)
class SeedSettings:
    """Seed of all random numbers; None takes the seed of the run."""

    seed: int | None = None


def unpack(items: Iterable[Any], context: Context, calibration: CalibrationStore) -> Iterator[Any]:
    """ReconData and buckets become slices, whichever package made them; everything else passes."""
    for item in items:
        if hasattr(item, "bits"):
            yield from slices_from_recon_data(item, context, calibration)
        elif hasattr(item, "data") and hasattr(item, "ref"):
            yield from slices_from_bucket(item, context, calibration)
        else:
            yield item
