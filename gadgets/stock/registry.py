"""The stock gadgets by the stock class names, with the stock property names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from nilatron.gadgets.items import Gadget
from nilatron.gadgets.settings import from_properties
from nilatron.gadgets.stock.accumulate_trigger import AcquisitionAccumulateTriggerGadget
from nilatron.gadgets.stock.bucket_to_buffer import BucketToBufferGadget
from nilatron.gadgets.stock.epi import EPICorrGadget, EPIReconXGadget, FFTXGadget, OneEncodingGadget
from nilatron.gadgets.stock.images import (
    AutoScaleGadget,
    ComplexToFloatGadget,
    ExtractGadget,
    FloatToShortGadget,
    FloatToUShortGadget,
    ImageFinishGadget,
)
from nilatron.gadgets.stock.noise_adjust import NoiseAdjustGadget
from nilatron.gadgets.stock.readout import AsymmetricEchoAdjustROGadget, RemoveROOversamplingGadget

_KINDS: tuple[type[Gadget], ...] = (
    NoiseAdjustGadget,
    AsymmetricEchoAdjustROGadget,
    RemoveROOversamplingGadget,
    EPIReconXGadget,
    EPICorrGadget,
    FFTXGadget,
    OneEncodingGadget,
    AcquisitionAccumulateTriggerGadget,
    BucketToBufferGadget,
    ComplexToFloatGadget,
    ExtractGadget,
    AutoScaleGadget,
    FloatToUShortGadget,
    FloatToShortGadget,
    ImageFinishGadget,
)


def _make(kind: type[Gadget], properties: Mapping[str, str]) -> Gadget:
    return from_properties(kind, properties, kind.__name__)


STOCK_GADGETS: Final[dict[str, Callable[[Mapping[str, str]], Gadget]]] = {
    kind.__name__: partial(_make, kind) for kind in _KINDS
}
"""Class name to a function that makes the gadget from its properties, which raises `gadgets.settings.SettingsError`."""
