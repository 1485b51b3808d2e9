"""Numbers of variable length, many at a time: 7 bits in a byte, the lowest first, the highest bit says that more follow.

Signed numbers are folded before, so that small ones stay short:  n -> 2 n (n >= 0),  n -> -2 n - 1 (n < 0).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from nilatron.pipelines.wire.errors import MalformedError

MAX_VARINT_BYTES = 10
_MORE = 0x80
_SEVEN = np.uint64(7)


def varints_in(data: npt.NDArray[np.uint8], n_most: int) -> tuple[npt.NDArray[np.uint64], int]:
    """The numbers that are complete at the beginning of the bytes, `n_most` at most, and how many bytes they have.

    Raises
    ------
    MalformedError
        When a number has more than 64 bits.
    """
    data = data[: n_most * MAX_VARINT_BYTES]
    ends = np.flatnonzero(data < _MORE)[:n_most]
    if not len(ends):
        if len(data) >= MAX_VARINT_BYTES:
            raise MalformedError("a number of more than 64 bits")
        return np.zeros(0, np.uint64), 0
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    longest = int(lengths.max())
    if longest > MAX_VARINT_BYTES:
        raise MalformedError("a number of more than 64 bits")
    values = (data[starts] & 0x7F).astype(np.uint64)
    for place in range(1, longest):
        longer = np.flatnonzero(lengths > place)
        bits = (data[starts[longer] + place] & 0x7F).astype(np.uint64)
        if place == MAX_VARINT_BYTES - 1 and (bits > 1).any():
            raise MalformedError("a number of more than 64 bits")
        values[longer] |= bits << (_SEVEN * np.uint64(place))
    return values, int(ends[-1]) + 1


def varint_bytes(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint8]:
    """The bytes of the numbers, one after the other."""
    lengths = np.ones(len(values), np.int64)
    for place in range(1, MAX_VARINT_BYTES):
        lengths += values >= np.uint64(1 << 7 * place)
    ends = np.cumsum(lengths)
    data = np.empty(int(ends[-1]) if len(ends) else 0, np.uint8)
    starts = ends - lengths
    for place in range(int(lengths.max(initial=0))):
        longer = np.flatnonzero(lengths > place)
        more = np.where(lengths[longer] > place + 1, _MORE, 0)
        data[starts[longer] + place] = (
            (values[longer] >> (_SEVEN * np.uint64(place))) & np.uint64(0x7F)
        ) | more.astype(np.uint64)
    return data


def folded(values: npt.NDArray[Any]) -> npt.NDArray[np.uint64]:
    """Signed numbers as unsigned ones."""
    wide = values.astype(np.int64)
    return ((wide << 1) ^ (wide >> 63)).view(np.uint64)


def unfolded(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """The signed numbers of `folded`."""
    half: npt.NDArray[np.int64] = (values >> np.uint64(1)).view(np.int64)
    return half ^ -(values & np.uint64(1)).view(np.int64)
