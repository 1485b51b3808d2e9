"""Our equivalents of the stock gadgets, with the stock class and property names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from nilatron.gadgets.items import Gadget
from nilatron.gadgets.stock.accumulate_trigger import AcquisitionAccumulateTriggerGadget
from nilatron.gadgets.stock.bucket_to_buffer import BucketToBufferGadget
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
from nilatron.gadgets.stock.settings import PropertyError, from_properties

_KINDS: tuple[type[Gadget], ...] = (
    NoiseAdjustGadget,
    AsymmetricEchoAdjustROGadget,
    RemoveROOversamplingGadget,
    AcquisitionAccumulateTriggerGadget,
    BucketToBufferGadget,
    ComplexToFloatGadget,
    ExtractGadget,
    AutoScaleGadget,
    FloatToUShortGadget,
    FloatToShortGadget,
    ImageFinishGadget,
)

STOCK_GADGETS: Final[dict[str, Callable[[Mapping[str, str]], Gadget]]] = {
    kind.__name__: partial(from_properties, kind) for kind in _KINDS
}
"""Class name to a function that makes the gadget from its properties."""

__all__ = ["STOCK_GADGETS", "PropertyError"]
