"""What the heads of lines, waveforms and images have in common, between the records of MRD v2 and the structures of v1.

Time stamps are nanoseconds in v2.2 and ticks of 2.5 ms in v1 and v2.1; dwell times nanoseconds and microseconds. Records are
made with both spellings, and the schema takes those that it has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from nilatron.pipelines.wire.errors import UnsupportedError

Record: TypeAlias = dict[str, Any]

TICK_NS = 2_500_000
DAY_NS = 86_400 * 10**9
MAX_UINT16, MAX_UINT32 = (1 << 16) - 1, (1 << 32) - 1
N_STAMPS = 3


def ticks_of(nanoseconds: int) -> int:
    """Ticks, rounded; of clocks that count from another day than today's, the time since midnight."""
    if nanoseconds // TICK_NS > MAX_UINT32:
        nanoseconds %= DAY_NS
    return (nanoseconds + TICK_NS // 2) // TICK_NS


def stamp_of(record: Mapping[str, Any], name: str) -> int:
    """A time stamp in ticks; 0 where there is none."""
    nanoseconds = record.get(f"{name}Ns")
    return int(record.get(name) or 0) if nanoseconds is None else ticks_of(nanoseconds)


def stamps_of(record: Mapping[str, Any], name: str) -> list[int]:
    """The time stamps that v1 has room for, in ticks."""
    found = record.get(f"{name}Ns")
    stamps = list(record.get(name) or ()) if found is None else [ticks_of(stamp) for stamp in found]
    return (stamps + [0] * N_STAMPS)[:N_STAMPS]


def stamp_fields(name: str, ticks: int | Sequence[int]) -> Record:
    """A time stamp, or several, in both spellings."""
    if isinstance(ticks, int):
        return {name: ticks, f"{name}Ns": ticks * TICK_NS}
    return {name: [int(tick) for tick in ticks], f"{name}Ns": [int(tick) * TICK_NS for tick in ticks]}


def dwell_us_of(record: Mapping[str, Any]) -> float:
    """The time between samples in microseconds; 0 where it is not known."""
    nanoseconds = record.get("sampleTimeNs")
    return float(record.get("sampleTimeUs") or 0.0) if nanoseconds is None else nanoseconds / 1000


def dwell_fields(dwell_us: float) -> Record:
    """A time between samples in both spellings."""
    return {"sampleTimeUs": float(dwell_us), "sampleTimeNs": max(0, round(dwell_us * 1000))}


def small(record: Mapping[str, Any], name: str, most: int = MAX_UINT16) -> int:
    """A count or index; 0 where there is none.

    Raises
    ------
    UnsupportedError
        When v1 has no room for it.
    """
    value = int(record.get(name) or 0)
    if value > most:
        raise UnsupportedError(f"{name} is {value}, and ISMRMRD v1 has room for {most} at most")
    return value


def vector(values: Any) -> Any:
    """Three numbers of a head as an array."""
    return np.array(list(values), np.float32)


def fill(target: Any, values: Sequence[Any]) -> None:
    """Put the values into an array of a head, as far as it has room; the rest of it becomes 0."""
    room = len(target)
    target[:] = [*values[:room], *[0] * (room - len(values))]
