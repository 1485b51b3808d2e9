"""Lines into buckets."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import ismrmrd

from nilatron.gadgets.flags import LineKind, kind_of, other_names
from nilatron.gadgets.items import Context
from nilatron.gadgets.stock.types import AcquisitionBucket, check_dimension

DIMENSIONS = (
    "",
    "none",
    "kspace_encode_step_1",
    "kspace_encode_step_2",
    "average",
    "slice",
    "contrast",
    "phase",
    "repetition",
    "set",
    "segment",
    "user_0",
    "user_1",
    "user_2",
    "user_3",
    "user_4",
    "user_5",
    "user_6",
    "user_7",
    "n_acquisitions",
)
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class AcquisitionAccumulateTriggerGadget:
    """Collect lines, and send them on as buckets whenever the index of `trigger_dimension` changes, and at the end.

    Lines of one trigger are sorted into one bucket per index of `sorting_dimension`, sent in rising order; waveforms
    go with the first one. With `trigger_dimension="n_acquisitions"` a bucket is sent every so many lines. An empty
    dimension means none: one bucket at the end.

    Noise lines do not pass. Other than the stock gadget, which lets them overwrite imaging lines of the same index,
    this one leaves out navigation, phase correction, dummy and feedback lines, and counts them; and waveforms without
    any line after them are dropped with a message where the stock gadget reads a bucket that is not there.
    """

    trigger_dimension: str = ""
    sorting_dimension: str = ""
    n_acquisitions_before_trigger: int = 40
    n_acquisitions_before_ongoing_trigger: int = 40

    def __post_init__(self) -> None:
        check_dimension("trigger_dimension", self.trigger_dimension, DIMENSIONS)
        check_dimension("sorting_dimension", self.sorting_dimension, DIMENSIONS)
        if min(self.n_acquisitions_before_trigger, self.n_acquisitions_before_ongoing_trigger) < 1:
            raise ValueError("the two n_acquisitions_before… properties must be 1 or more")

    def __call__(self, items: Iterable[Any], context: Context) -> Iterator[Any]:
        """Lines and waveforms in, buckets out; anything else passes."""
        pending: dict[int, AcquisitionBucket] = {}
        waveforms: list[ismrmrd.Waveform] = []
        previous: int | None = None
        n_lines, n_wanted = 0, self.n_acquisitions_before_trigger
        for item in items:
            if isinstance(item, ismrmrd.Waveform):
                waveforms.append(item)
                continue
            if not isinstance(item, ismrmrd.Acquisition):
                yield item
                continue
            if not _belongs(item, context):
                continue
            current = _index(item, self.trigger_dimension)
            if previous is not None and current != previous:
                yield from _send(pending, waveforms)
            previous = current
            _put(pending.setdefault(_index(item, self.sorting_dimension), AcquisitionBucket()), item)
            n_lines += 1
            if self.trigger_dimension == "n_acquisitions" and n_lines >= n_wanted:
                yield from _send(pending, waveforms)
                n_lines, n_wanted = 0, self.n_acquisitions_before_ongoing_trigger
        yield from _send(pending, waveforms)
        if waveforms:
            context.log.counts["waveforms without lines"] += len(waveforms)
            _logger.warning("%d waveforms arrived after the last line and were dropped", len(waveforms))


def _belongs(line: ismrmrd.Acquisition, context: Context) -> bool:
    kind = kind_of(line.flags)
    if kind is LineKind.OTHER:
        for name in other_names(line.flags):
            context.log.counts[f"lines left out: {name}"] += 1
    return kind in (LineKind.IMAGING, LineKind.CALIBRATION)


def _put(bucket: AcquisitionBucket, line: ismrmrd.Acquisition) -> None:
    only_calibration = kind_of(line.flags) is LineKind.CALIBRATION
    if only_calibration or line.is_flag_set(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING):
        bucket.add_ref(line)
    if not only_calibration:
        bucket.add_data(line)


def _send(pending: dict[int, AcquisitionBucket], waveforms: list[ismrmrd.Waveform]) -> Iterator[AcquisitionBucket]:
    buckets = [pending[index] for index in sorted(pending)]
    pending.clear()
    if buckets:
        buckets[0].waveforms.extend(waveforms)
        waveforms.clear()
    yield from buckets


def _index(line: ismrmrd.Acquisition, dimension: str) -> int:
    if dimension in ("", "none", "n_acquisitions"):
        return 0
    if dimension.startswith("user_"):
        return int(line.idx.user[int(dimension.removeprefix("user_"))])
    return int(getattr(line.idx, dimension))
