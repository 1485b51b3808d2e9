"""Samples of lines that the stock client compresses (options -P and -T), as Gadgetron's own reader unpacks them.

    value = integer / scale

The samples, real and imaginary parts in turn, are whole numbers of a few bits each, as two's complement, one after the other
from the lowest bit of the first byte on. In front of them stand their number (64 bits), the scale (float32) and the number of
bits (8 bits), and in front of all that the number of bytes (32 bits).
"""

from __future__ import annotations

import struct

import ismrmrd
import numpy as np
import numpy.typing as npt

from nilatron.pipelines.wire.errors import MalformedError, UnsupportedError
from nilatron.pipelines.wire.limits import Budget
from nilatron.pipelines.wire.parse.parts import Parser, read_bytes, read_numbers
from nilatron.pipelines.wire.structures import U32

PACKED = struct.Struct("<QfB")  # numbers, scale, bits of each
MAX_BITS = 31
ZFP_FLAG = 1 << (ismrmrd.ACQ_COMPRESSION1 - 1)
PACKED_FLAG = 1 << (ismrmrd.ACQ_COMPRESSION2 - 1)
COMPRESSION_FLAGS = 0b1111 << (ismrmrd.ACQ_COMPRESSION1 - 1)


def read_compressed(head: ismrmrd.AcquisitionHeader, budget: Budget) -> Parser[npt.NDArray[np.complex64]]:
    """The samples (channel, sample) of a compressed line; the flag in its header is cleared.

    Raises
    ------
    UnsupportedError
        When the samples are compressed with ZFP, or in a way that has no name yet.
    MalformedError
        When they are not what the header announces.
    """
    if head.flags & COMPRESSION_FLAGS != PACKED_FLAG:
        raise UnsupportedError(
            f"the samples are compressed {'with ZFP' if head.flags & ZFP_FLAG else 'in an unknown way'}, which this end cannot "
            "unpack: have the client send them as they are, or compressed by -P or -T alone"
        )
    n_samples, n_channels = head.number_of_samples, head.active_channels
    n_values = 2 * n_samples * n_channels
    (n_bytes,) = yield from read_numbers(U32)
    if n_bytes > PACKED.size + 4 * n_values:
        raise MalformedError(
            f"{n_values} compressed numbers in {n_bytes} bytes, which is more than they need uncompressed"
        )
    budget.take(n_bytes, "compressed samples")
    packed = yield from read_bytes(n_bytes)
    head.flags &= ~PACKED_FLAG
    values = unpack(packed, n_values)
    return values.view(np.complex64).reshape(n_channels, n_samples)


def unpack(packed: bytes | bytearray, n_values: int) -> npt.NDArray[np.float32]:
    """The numbers in a buffer.

    Raises
    ------
    MalformedError
        When the buffer holds another number of values, too few bytes for them, or a scale that is no positive number.
    """
    if len(packed) < PACKED.size:
        raise MalformedError(f"compressed samples in {len(packed)} bytes; their header alone has {PACKED.size}")
    n_packed, scale, n_bits = PACKED.unpack_from(packed)
    if n_packed != n_values:
        raise MalformedError(f"{n_packed} compressed numbers in a line that has {n_values}")
    n_bytes = len(packed) - PACKED.size
    if not 1 <= n_bits <= MAX_BITS or n_bytes < (n_bits * n_values + 7) // 8:
        raise MalformedError(
            f"{n_values} compressed numbers of {n_bits} bits in {n_bytes} bytes; expected 1 to 31 bits"
        )
    if not scale > 0:
        raise MalformedError(f"the scale of compressed samples is {scale}; expected a positive number")
    return integers_of(np.frombuffer(packed, np.uint8, offset=PACKED.size), n_values, n_bits) / np.float32(scale)


def integers_of(data: npt.NDArray[np.uint8], n_values: int, n_bits: int) -> npt.NDArray[np.float32]:
    """Whole numbers of `n_bits` bits each, as float32, which is how Gadgetron divides them.

    Eight of them fill `n_bits` bytes, so that all numbers at the same place of eight lie in their bytes alike.
    """
    n_groups = -(-n_values // 8)
    groups = np.zeros(n_groups * n_bits, np.uint8)
    groups[: len(data)] = data[: len(groups)]
    byte_of = np.ascontiguousarray(groups.reshape(n_groups, n_bits).T).astype(np.int64)
    values = np.empty((n_groups, 8), np.int64)
    for place in range(8):
        first, shift = divmod(place * n_bits, 8)
        word = byte_of[first].copy()
        for more in range(1, (shift + n_bits + 7) // 8):
            word |= byte_of[first + more] << (8 * more)
        values[:, place] = word >> shift
    sign = 1 << (n_bits - 1)
    return (((values.reshape(-1)[:n_values] & (2 * sign - 1)) ^ sign) - sign).astype(np.float32)
