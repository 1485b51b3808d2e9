"""Views of arrays and headers as the wire wants them."""

from __future__ import annotations

import struct
from typing import Any, TypeAlias

import ismrmrd
import numpy as np
import numpy.typing as npt

from nilatron.pipelines.wire.errors import UnsendableError

Part: TypeAlias = bytes | memoryview


def raw(array: npt.NDArray[Any]) -> memoryview:
    """The bytes of an array, last axis fastest; without a copy where they lie so already."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def raw_fortran(array: npt.NDArray[Any]) -> memoryview:
    """The bytes of an array, first axis fastest."""
    return raw(array.T)


def line_parts(line: ismrmrd.Acquisition) -> tuple[bytes, npt.NDArray[np.float32], npt.NDArray[np.complex64]]:
    """Header, trajectory and samples of a line.

    Raises
    ------
    UnsendableError
        When the header contradicts the arrays.
    """
    head, trajectory, samples = line._head, line.traj, line.data  # getHead() copies; nothing is changed here
    expected = (head.active_channels, head.number_of_samples, head.trajectory_dimensions)
    if samples.shape != expected[:2] or trajectory.size != expected[1] * expected[2]:
        raise UnsendableError(
            f"acquisition with samples {samples.shape} and trajectory {trajectory.shape}, "
            f"but a header of (channels, samples, trajectory dimensions) {expected}"
        )
    return bytes(head), np.asarray(trajectory, "<f4"), np.asarray(samples, "<c8")


def waveform_parts(waveform: ismrmrd.Waveform) -> tuple[bytes, memoryview]:
    """Header and samples of a waveform.

    Raises
    ------
    UnsendableError
        When the header contradicts the samples.
    """
    head, samples = waveform._head, waveform.data
    if samples.shape != (head.channels, head.number_of_samples):
        raise UnsendableError(
            f"waveform of shape {samples.shape}, but its header says {(head.channels, head.number_of_samples)}"
        )
    return bytes(head), raw(np.asarray(samples, "<u4"))


def shape_part(array: npt.NDArray[Any]) -> bytes:
    """Number of dimensions and dimensions; none for the empty array, as Gadgetron has it."""
    shape = () if array.shape == (0,) else array.shape
    return np.array([len(shape), *shape], "<u8").tobytes()


def structured(headers: npt.NDArray[Any], dtype: np.dtype[Any]) -> npt.NDArray[np.void]:
    """Headers as a structured array; objects of ctypes are converted.

    Raises
    ------
    UnsendableError
        When they are neither.
    """
    if headers.dtype == dtype:
        return headers
    if headers.dtype != np.object_:
        raise UnsendableError(f"headers of {headers.dtype}; expected structures of {dtype.itemsize} bytes, or objects")
    joined = b"".join(bytes(head) for head in headers.ravel(order="F"))
    if len(joined) != headers.size * dtype.itemsize:
        raise UnsendableError(f"headers that are not structures of {dtype.itemsize} bytes")
    return np.frombuffer(joined, dtype).reshape(headers.shape, order="F")


def length_prefixed(content: bytes, length: struct.Struct) -> bytes:
    """Bytes after their number.

    Raises
    ------
    UnsendableError
        When the number does not fit.
    """
    if len(content) >> (8 * length.size):
        raise UnsendableError(f"{len(content)} bytes are too many for their message")
    return length.pack(len(content)) + content
