"""One node of a chain: from lines, buckets or gridded data to images, for a named target."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from nilatron.core.bounds import bounded
from nilatron.core.prior.weights import DEFAULT_WEIGHTS
from nilatron.gadgets.accumulate import Accumulator
from nilatron.gadgets.calibration import CalibrationStore
from nilatron.gadgets.compression import CoilCompression, CompressionSettings
from nilatron.gadgets.device import on_device
from nilatron.gadgets.doubt import DoubtSettings
from nilatron.gadgets.epi.correct import EpiLines, EpiSettings
from nilatron.gadgets.images import ImageMaker, ImageSettings
from nilatron.gadgets.items import Context
from nilatron.gadgets.methods import METHODS, Method
from nilatron.gadgets.noise import NoiseSettings, Whitening
from nilatron.gadgets.recon_data import slices_from_bucket, slices_from_recon_data
from nilatron.gadgets.reconstruct import Reconstructor
from nilatron.gadgets.sensitivities import MapSettings, Sensitivities
from nilatron.gadgets.settings import SettingsError, from_properties, property_fields
from nilatron.gadgets.statements import StatementCheck


@dataclasses.dataclass(frozen=True)
class SeedSettings:
    """Seed of all random numbers; None takes the seed of the run."""

    seed: int | None = bounded(None, 0, 2**64 - 1)  # of all randomness; auto takes that of the run


# settings of the gadgets around the method of the target, by the half of the node that they belong to
OF_LINES = (NoiseSettings, EpiSettings)
OF_SLICES = (NoiseSettings, CompressionSettings, MapSettings, DoubtSettings, SeedSettings)
OF_IMAGES = (ImageSettings,)


@dataclasses.dataclass(frozen=True)
class Node:
    """The gadgets of one node: `slices` are made of lines, `reconstructions` of slices, and at last images.

    Attributes
    ----------
    target
        A name of `methods`.
    settings
        One object of each class of settings that its gadgets have.
    weights
        Of the prior.
    methods
        The reconstructions by name.
    """

    target: str
    settings: Mapping[type[Any], Any]
    weights: Path = DEFAULT_WEIGHTS
    methods: Mapping[str, Method] = dataclasses.field(default_factory=lambda: METHODS)

    def __call__(self, items: Iterable[Any], context: Context) -> Iterator[Any]:
        """Lines, buckets or gridded data in, images out."""
        whitening = Whitening(self.settings[NoiseSettings])
        stream = self.slices(items, context, whitening)
        stream = self.reconstructions(stream, context, whitening)
        return ImageMaker(self.settings[ImageSettings])(stream, context)

    def slices(self, items: Iterable[Any], context: Context, whitening: Whitening) -> Iterator[Any]:
        """Lines, buckets or gridded data in, slices as they were acquired out; `whitening` collects the noise lines."""
        readouts = EpiLines(self.settings[EpiSettings])
        stream: Iterator[Any] = StatementCheck()(items, context)
        stream = whitening.lines(stream, context)
        stream = readouts.lines(stream, context)
        calibration = CalibrationStore(context.log)
        stream = Accumulator(calibration)(stream, context)
        stream = unpack(stream, context, calibration)
        return readouts.slices(stream, context)

    def reconstructions(self, items: Iterable[Any], context: Context, whitening: Whitening) -> Iterator[Any]:
        """Slices as they were acquired in, reconstructions out."""
        if self.settings[SeedSettings].seed is not None:
            context = dataclasses.replace(context, seed=self.settings[SeedSettings].seed)
        stream = on_device(items, context)
        stream = whitening.slices(stream, context)
        stream = CoilCompression(self.settings[CompressionSettings])(stream, context)
        stream = Sensitivities(self.settings[MapSettings])(stream, context)
        method, doubt = self.settings[self.methods[self.target].settings_class], self.settings[DoubtSettings]
        return Reconstructor(self.target, method, self.weights, self.methods, doubt)(stream, context)


def build_node(
    target: str,
    properties: Mapping[str, str],
    weights: Path = DEFAULT_WEIGHTS,
    methods: Mapping[str, Method] = METHODS,
    parts: Sequence[type[Any]] = (*OF_LINES, *OF_SLICES, *OF_IMAGES),
) -> Node:
    """The node for TARGET, fed with whatever the chain in front sends.

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
    parts
        Settings of the gadgets that are used, beside those of the method; all of them for a whole node.

    Raises
    ------
    SettingsError
        For an unknown target, an unknown property or a value that cannot be used.
    """
    if target not in methods:
        raise SettingsError(f"unknown target {target!r}: choose from {', '.join(methods)}")
    names = {part: property_fields(part) for part in dict.fromkeys((*parts, methods[target].settings_class))}
    known = {name: field for fields in names.values() for name, field in fields.items()}
    unknown = [name for name in properties if name not in known]
    if unknown:
        raise SettingsError(
            f"{target} has no property {unknown[0]!r}; it has: {', '.join(sorted(set(known.values())))}"
        )
    settings = {
        part: from_properties(part, {k: v for k, v in properties.items() if k in fields}, target)
        for part, fields in names.items()
    }
    return Node(target, settings, weights, methods)


def unpack(items: Iterable[Any], context: Context, calibration: CalibrationStore) -> Iterator[Any]:
    """ReconData and buckets become slices, whichever package made them; everything else passes."""
    for item in items:
        if hasattr(item, "bits"):
            yield from slices_from_recon_data(item, context, calibration)
        elif hasattr(item, "data") and hasattr(item, "ref"):
            yield from slices_from_bucket(item, context, calibration)
        else:
            yield item
