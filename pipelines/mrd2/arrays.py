"""Arrays: of a NumPy type, or of objects where their entries are records and the like."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from nilatron.pipelines.mrd2.byte_sink import ByteSink
from nilatron.pipelines.mrd2.byte_source import ByteSource
from nilatron.pipelines.mrd2.codec import Codec, NumberCodec
from nilatron.pipelines.wire.errors import UnsendableError

_ENTRY_BYTES, _ARRAY_BYTES = 96, 160  # memory that Python takes


class ArrayCodec(Codec):
    """An array: of a NumPy type, or of objects where its entries are records and the like.

    Parameters
    ----------
    items
        Of each entry.
    n_axes
        Number of axes; None where the stream tells it.
    shape
        Where the schema tells it; then the stream does not.
    """

    def __init__(self, items: Codec, n_axes: int | None, shape: tuple[int, ...] | None = None) -> None:
        self.items, self.n_axes, self.shape = items, n_axes, shape
        if shape is not None:
            self.min_bytes = math.prod(shape) * items.min_bytes
        else:
            self.min_bytes = 1 if n_axes is None else n_axes or items.min_bytes

    def read(self, source: ByteSource) -> npt.NDArray[Any]:
        """Shape and entries, the last axis the fastest."""
        shape = self._read_shape(source)
        count = math.prod(shape)
        source.charge(_ARRAY_BYTES, "an array")
        if not count:  # one with axes beyond all memory is none that NumPy can make
            source.budget.check(math.prod(side or 1 for side in shape), "message_bytes", "sides of an array")
        if isinstance(self.items, NumberCodec):
            return self.items.read_many(source, count, "an array").reshape(shape)
        values: list[Any] = []
        for _ in range(count):
            source.charge(_ENTRY_BYTES, "an entry of an array")
            values.append(self.items.read(source))
        return _objects(values, shape)

    def _read_shape(self, source: ByteSource) -> tuple[int, ...]:
        if self.shape is not None:
            return self.shape
        n_axes = source.varint() if self.n_axes is None else self.n_axes
        source.budget.check(n_axes, "dimensions", "axes of an array")
        return tuple(source.varint() for _ in range(n_axes))

    def write(self, sink: ByteSink, value: Any) -> None:
        """Append shape and entries; those of another type only where nothing can be lost."""
        array = np.asarray(value) if isinstance(self.items, NumberCodec) else value
        if self.shape is not None and array.shape != self.shape:
            raise UnsendableError(f"an array of shape {array.shape} where the schema has {self.shape}")
        if self.shape is None and self.n_axes is not None and array.ndim != self.n_axes:
            raise UnsendableError(f"an array of {array.ndim} axes where the schema has {self.n_axes}")
        if self.shape is None:
            for number in (*([array.ndim] if self.n_axes is None else []), *array.shape):
                sink.varint(number)
        if isinstance(self.items, NumberCodec):
            self.items.write_many(sink, np.ascontiguousarray(_as_type(array, self.items.dtype)).reshape(-1))
            return
        for item in array.flat:
            self.items.write(sink, item)

    def default(self) -> npt.NDArray[Any]:
        """Zeros of the schema's shape, or nothing."""
        shape = (0,) * (self.n_axes or 1) if self.shape is None else self.shape
        if isinstance(self.items, NumberCodec):
            return np.zeros(shape, self.items.dtype)
        return _objects([self.items.default() for _ in range(math.prod(shape))], shape)


def _objects(values: list[Any], shape: tuple[int, ...]) -> npt.NDArray[np.object_]:
    flat = np.empty(len(values), object)
    for place, value in enumerate(values):  # NumPy would look into lists
        flat[place] = value
    return flat.reshape(shape)


def _as_type(array: npt.NDArray[Any], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    if array.size and not np.can_cast(array.dtype, dtype, "safe"):
        raise UnsendableError(f"an array of {array.dtype} where the schema has {dtype}")
    return array.astype(dtype, copy=False)
