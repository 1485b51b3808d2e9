"""Buckets, gridded k-space and image arrays to bytes; those of the PyPI package `gadgetron` as well."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nilatron.gadgets.stock.types import COUNTERS
from nilatron.pipelines.wire.encoding_parts import (
    Part,
    length_prefixed,
    line_parts,
    raw,
    raw_fortran,
    shape_part,
    structured,
    waveform_parts,
)
from nilatron.pipelines.wire.lines.block import LineBlock
from nilatron.pipelines.wire.structures import ACQUISITION_HEADER, BUCKET, IMAGE_HEADER, SAMPLING, U64

_ABSENT, _PRESENT = b"\0", b"\1"


@dataclass(frozen=True)
class _Lines:
    count: int
    headers: bytes | memoryview
    trajectories: list[Part]
    samples: list[Part]

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        return self.count, len(self.headers), sum(map(len, self.samples)), sum(map(len, self.trajectories))

    @property
    def parts(self) -> list[Part]:
        return [self.headers, *self.trajectories, *self.samples]


def bucket_parts(bucket: Any) -> list[Part]:
    """Table of sizes; lines and their counters; reference lines and theirs; waveforms.

    Raises
    ------
    UnsendableError
        For a line whose header contradicts its arrays.
    """
    data, ref = _lines(bucket.data), _lines(bucket.ref)
    datastats, refstats = _stats(bucket.datastats), _stats(bucket.refstats)
    pairs = [waveform_parts(waveform) for waveform in bucket.waveforms]
    headers, samples = b"".join(pair[0] for pair in pairs), [pair[1] for pair in pairs]
    waveform_sizes = (len(pairs), len(headers), sum(map(len, samples)))
    table = BUCKET.pack(*data.sizes, *ref.sizes, len(datastats), len(refstats), *waveform_sizes)
    return [table, *data.parts, datastats, *ref.parts, refstats, headers, *samples]


def _lines(lines: Sequence[Any]) -> _Lines:
    if isinstance(lines, LineBlock):
        return _Lines(len(lines), raw(lines.headers), [raw(lines.trajectories)], [raw(lines.samples)])
    parts = [line_parts(line) for line in lines]
    trajectories: list[Part] = [raw(part[1]) for part in parts if part[1].size]
    return _Lines(len(parts), b"".join(part[0] for part in parts), trajectories, [raw(part[2]) for part in parts])


def _stats(stats: Iterable[Any]) -> bytes:
    spaces = [b"".join(_counter(getattr(entry, name)) for name in COUNTERS) for entry in stats]
    return U64.pack(len(spaces)) + b"".join(spaces)


def _counter(values: Iterable[int]) -> bytes:
    ordered = np.array(sorted(values), "<u2")
    return U64.pack(ordered.size) + ordered.tobytes()


def recon_data_parts(recon_data: Any) -> list[Part]:
    """Encoding spaces, each with gridded imaging data and perhaps calibration data."""
    parts: list[Part] = [U64.pack(len(recon_data.bits))]
    for bit in recon_data.bits:
        parts += _buffer(bit.data)
        parts += [_ABSENT] if bit.ref is None else [_PRESENT, *_buffer(bit.ref)]
    return parts


def _buffer(buffer: Any) -> list[Part]:
    sampling = buffer.sampling
    limits = [value for limit in sampling.sampling_limits for value in (limit.min, limit.center, limit.max)]
    numbers = (*sampling.encoded_FOV, *sampling.recon_FOV, *sampling.encoded_matrix, *sampling.recon_matrix, *limits)
    return [
        *_array(buffer.data, "<c8"),
        *_optional_array(buffer.trajectory, "<f4"),
        *_optional_array(buffer.density, "<f4"),
        *_headers(buffer.headers, ACQUISITION_HEADER),
        SAMPLING.pack(*numbers),
    ]


def image_array_parts(images: Any) -> list[Part]:
    """Images with their headers and attributes, and perhaps the waveforms and lines they came from."""
    meta = [entry.encode() if isinstance(entry, str) else entry for entry in images.meta]
    parts = [*_array(images.data, "<c8"), *_headers(images.headers, IMAGE_HEADER), U64.pack(len(meta))]
    parts += [length_prefixed(entry, U64) for entry in meta]
    if images.waveform is None:
        parts.append(_ABSENT)
    else:
        parts.append(_PRESENT + U64.pack(len(images.waveform)))
        parts += [part for waveform in images.waveform for part in waveform_parts(waveform)]
    if images.acq_headers is None:
        return [*parts, _ABSENT]
    return [*parts, _PRESENT, *_headers(images.acq_headers, ACQUISITION_HEADER)]


def _array(array: Any, dtype: str) -> list[Part]:
    values = np.asarray(array, dtype)
    return [shape_part(values), raw_fortran(values)]


def _optional_array(array: Any, dtype: str) -> list[Part]:
    return [_ABSENT] if array is None else [_PRESENT, *_array(array, dtype)]


def _headers(headers: Any, dtype: np.dtype[Any]) -> list[Part]:
    values = structured(np.asarray(headers), dtype)
    return [shape_part(values), raw_fortran(values)]
