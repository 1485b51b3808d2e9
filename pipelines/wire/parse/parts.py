"""Parts of messages as generators that say which memory they want filled.

A parser yields a writable view, is resumed when the view holds the next bytes of the stream, and returns what it made of
them. So the same parser reads from a socket straight into its arrays, and from pieces that someone feeds.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Generator
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from nilatron.pipelines.wire.errors import MalformedError
from nilatron.pipelines.wire.limits import Budget
from nilatron.pipelines.wire.structures import U64

T = TypeVar("T")
Parser: TypeAlias = Generator[memoryview, None, T]


def read_numbers(layout: struct.Struct) -> Parser[tuple[Any, ...]]:
    """The numbers of a fixed layout."""
    data = bytearray(layout.size)
    yield memoryview(data)
    return layout.unpack(data)


def read_bytes(length: int) -> Parser[bytearray]:
    """So many bytes; the caller has checked the number."""
    data = bytearray(length)
    if length:
        yield memoryview(data)
    return data


def read_flat(dtype: np.dtype[Any], count: int, budget: Budget, what: str) -> Parser[npt.NDArray[Any]]:
    """So many elements, taken from the budget first."""
    budget.take(count * dtype.itemsize, what)
    raw = np.empty(count * dtype.itemsize, np.uint8)
    if count:
        yield raw.data
    return raw.view(dtype)


def read_length_prefixed(length: struct.Struct, limit: str, budget: Budget, what: str) -> Parser[bytes]:
    """Bytes after their number."""
    (size,) = yield from read_numbers(length)
    budget.check(size, limit, f"bytes of {what}")
    budget.take(2 * size, what)
    return bytes((yield from read_bytes(size)))


def read_array(dtype: np.dtype[Any], budget: Budget, what: str, limit: str | None = None) -> Parser[npt.NDArray[Any]]:
    """Number of dimensions, dimensions, elements (the first axis is the fastest): Fortran order.

    `limit` names the bound on the number of elements, if there is one beside that on the memory.
    """
    (n_dimensions,) = yield from read_numbers(U64)
    budget.check(n_dimensions, "dimensions", f"axes of {what}")
    shape = yield from read_numbers(struct.Struct(f"<{n_dimensions}Q")) if n_dimensions else _nothing()
    count = math.prod(shape) if shape else 0  # Gadgetron's array without axes is empty
    if limit is not None:
        budget.check(count, limit, what)
    if not count:
        budget.check(math.prod(side or 1 for side in shape), "message_bytes", f"{what} of shape {shape}")
    flat = yield from read_flat(dtype, count, budget, what)
    return flat.reshape(shape if shape else (0,), order="F")


def read_optional(parser: Callable[[], Parser[T]], what: str) -> Parser[T | None]:
    """One byte that says whether something follows, and that."""
    present = (yield from read_bytes(1))[0]
    if present > 1:
        raise MalformedError(f"{what}: the byte that says whether there is one must be 0 or 1, not {present}")
    return (yield from parser()) if present else None


def _nothing() -> Parser[tuple[Any, ...]]:
    return ()
    yield
