"""Buckets from their bytes."""

from __future__ import annotations

from typing import Any

import ismrmrd
import numpy as np

from nilatron.gadgets.stock.types import COUNTERS, AcquisitionBucket, AcquisitionBucketStats
from nilatron.pipelines.wire.errors import MalformedError
from nilatron.pipelines.wire.limits import Budget
from nilatron.pipelines.wire.lines.block import LineBlock, sample_counts, trajectory_counts
from nilatron.pipelines.wire.parse.items import make_waveform
from nilatron.pipelines.wire.parse.parts import Parser, read_flat, read_numbers
from nilatron.pipelines.wire.structures import ACQUISITION_HEADER, BUCKET, U64, WAVEFORM_HEADER

_SAMPLE, _COORDINATE, _COUNTER = np.dtype("<c8"), np.dtype("<f4"), np.dtype("<u2")
_COUNTER_SET_BYTES = 128  # as an element of a set


def read_bucket(budget: Budget) -> Parser[AcquisitionBucket]:
    """Table of sizes; lines and their counters; reference lines and theirs; waveforms.

    The lines are a `LineBlock`: their headers stay one structured array.
    """
    sizes = yield from read_numbers(BUCKET)
    data: Any = yield from _read_lines(sizes[0:4], budget, "lines")
    datastats = yield from _read_stats(sizes[8], budget)
    ref: Any = yield from _read_lines(sizes[4:8], budget, "reference lines")
    refstats = yield from _read_stats(sizes[9], budget)
    waveforms = yield from _read_waveforms(sizes[10:13], budget)
    return AcquisitionBucket(data, datastats, ref, refstats, waveforms)


def _read_lines(sizes: tuple[int, ...], budget: Budget, what: str) -> Parser[LineBlock]:
    count, header_bytes, sample_bytes, trajectory_bytes = sizes
    budget.check(count, "lines", f"{what} of a bucket")
    _expect(header_bytes, count * ACQUISITION_HEADER.itemsize, f"headers of {what}")
    headers = yield from read_flat(ACQUISITION_HEADER, count, budget, f"headers of {what}")
    for name, field in (
        ("samples", "number_of_samples"),
        ("channels", "active_channels"),
        ("trajectory_dimensions", "trajectory_dimensions"),
    ):
        budget.check(int(headers[field].max(initial=0)), name, f"{field} of {what} of a bucket")
    n_samples, n_coordinates = int(sample_counts(headers).sum()), int(trajectory_counts(headers).sum())
    _expect(sample_bytes, n_samples * _SAMPLE.itemsize, f"samples of {what}")
    _expect(trajectory_bytes, n_coordinates * _COORDINATE.itemsize, f"trajectories of {what}")
    trajectories = yield from read_flat(_COORDINATE, n_coordinates, budget, f"trajectories of {what}")
    samples = yield from read_flat(_SAMPLE, n_samples, budget, f"samples of {what}")
    return LineBlock(headers, trajectories, samples)


def _read_stats(size: int, budget: Budget) -> Parser[list[AcquisitionBucketStats]]:
    (n_spaces,) = yield from read_numbers(U64)
    budget.check(n_spaces, "encoding_spaces", "encoding spaces of a bucket")
    n_bytes, stats = U64.size, []
    for _ in range(n_spaces):
        values: dict[str, set[int]] = {}
        for name in COUNTERS:
            (count,) = yield from read_numbers(U64)
            budget.take(count * _COUNTER_SET_BYTES, "counters of a bucket")
            values[name] = set((yield from read_flat(_COUNTER, count, budget, "counters of a bucket")).tolist())
            n_bytes += U64.size + count * _COUNTER.itemsize
        stats.append(AcquisitionBucketStats(**values))
    _expect(size, n_bytes, "counters")
    return stats


def _read_waveforms(sizes: tuple[int, ...], budget: Budget) -> Parser[list[ismrmrd.Waveform]]:
    count, header_bytes, data_bytes = sizes
    budget.check(count, "waveforms", "waveforms of a bucket")
    _expect(header_bytes, count * WAVEFORM_HEADER.itemsize, "headers of waveforms")
    headers = yield from read_flat(WAVEFORM_HEADER, count, budget, "headers of waveforms")
    n_samples = int((headers["number_of_samples"].astype(np.int64) * headers["channels"]).sum())
    _expect(data_bytes, n_samples * 4, "samples of waveforms")
    raw = headers.tobytes()
    waveforms = []
    for start in range(0, len(raw), WAVEFORM_HEADER.itemsize):
        waveform = make_waveform(raw[start : start + WAVEFORM_HEADER.itemsize], budget)
        if waveform.data.size:
            yield waveform.data.reshape(-1).view(np.uint8).data
        waveforms.append(waveform)
    return waveforms


def _expect(claimed: int, counted: int, what: str) -> None:
    if claimed != counted:
        raise MalformedError(f"a bucket says that its {what} take {claimed} bytes, but they take {counted}")
