"""Gridded k-space and image arrays from their bytes."""

from __future__ import annotations

from functools import partial
from typing import Any

import ismrmrd
import numpy as np

from nilatron.gadgets.stock.types import Buffer, ReconBit, ReconData, SamplingDescription, SamplingLimit
from nilatron.pipelines.wire.limits import Budget
from nilatron.pipelines.wire.messages import ImageArray
from nilatron.pipelines.wire.parse.items import read_waveform
from nilatron.pipelines.wire.parse.parts import Parser, read_array, read_length_prefixed, read_numbers, read_optional
from nilatron.pipelines.wire.structures import ACQUISITION_HEADER, IMAGE_HEADER, SAMPLING, U64

_COMPLEX, _FLOAT = np.dtype("<c8"), np.dtype("<f4")


def read_recon_data(budget: Budget) -> Parser[ReconData]:
    """Encoding spaces, each with gridded imaging data and perhaps calibration data."""
    (count,) = yield from read_numbers(U64)
    budget.check(count, "encoding_spaces", "encoding spaces of a ReconData")
    bits = []
    for _ in range(count):
        data = yield from _read_buffer(budget)
        ref = yield from read_optional(partial(_read_buffer, budget), "calibration data")
        bits.append(ReconBit(data, ref))
    return ReconData(bits)


def _read_buffer(budget: Budget) -> Parser[Buffer]:
    data = yield from read_array(_COMPLEX, budget, "gridded samples")
    trajectory: Any = yield from read_optional(partial(read_array, _FLOAT, budget, "trajectory"), "trajectory")
    density: Any = yield from read_optional(partial(read_array, _FLOAT, budget, "density"), "density")
    headers = yield from read_array(ACQUISITION_HEADER, budget, "headers of a grid", "lines")
    v = yield from read_numbers(SAMPLING)
    limits = (SamplingLimit(*v[12:15]), SamplingLimit(*v[15:18]), SamplingLimit(*v[18:21]))
    sampling = SamplingDescription(v[0:3], v[3:6], v[6:9], v[9:12], limits)
    return Buffer(data, headers, sampling, trajectory, density)


def read_image_array(budget: Budget) -> Parser[ImageArray]:
    """Images with their headers and attributes, and perhaps the waveforms and lines they came from."""
    data = yield from read_array(_COMPLEX, budget, "images")
    headers = yield from read_array(IMAGE_HEADER, budget, "image headers", "images")
    (count,) = yield from read_numbers(U64)
    budget.check(count, "images", "attributes of an image array")
    meta = []
    for _ in range(count):
        meta.append((yield from read_length_prefixed(U64, "attributes_bytes", budget, "image attributes")))
    waveforms = yield from read_optional(partial(_read_waveforms, budget), "waveforms")
    acq_headers = yield from read_optional(
        partial(read_array, ACQUISITION_HEADER, budget, "acquisition headers", "lines"), "acquisition headers"
    )
    return ImageArray(data, headers, meta, waveforms, acq_headers)


def _read_waveforms(budget: Budget) -> Parser[list[ismrmrd.Waveform]]:
    (count,) = yield from read_numbers(U64)
    budget.check(count, "waveforms", "waveforms of an image array")
    waveforms = []
    for _ in range(count):
        waveforms.append((yield from read_waveform(budget)))
    return waveforms
