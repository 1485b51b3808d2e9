"""Readouts of one size, received many at a time into memory that they share."""

from __future__ import annotations

import ctypes
import struct
from typing import Any, TypeAlias

import ismrmrd
import numpy as np
import numpy.typing as npt

from nilatron.pipelines.wire.lines.memory import SlabMemory
from nilatron.pipelines.wire.structures import MessageId

Sizes: TypeAlias = tuple[int, int, int]  # samples, channels, trajectory dimensions

_SLAB_BYTES = 1 << 22
MAX_LINES = 64
_ALIGNMENT = 64
# message id, then of the header the flags of compression, samples, channels and trajectory dimensions
_NUMBERS = struct.Struct("<H8xB25xHxxH136xH")
_PLAIN = 0  # not compressed; the other four flags of this byte have no meaning yet
_ID = int(MessageId.ACQUISITION).to_bytes(2, "little")


class _Head(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("message_id", ctypes.c_uint16), ("head", ismrmrd.AcquisitionHeader))


_HEAD_BYTES = ctypes.sizeof(_Head)


def sizes_of(line: ismrmrd.Acquisition) -> Sizes:
    """Samples, channels and trajectory dimensions of a line."""
    head = line._head  # getHead() copies
    return head.number_of_samples, head.active_channels, head.trajectory_dimensions


def lines_in_a_slab(sizes: Sizes, limit_bytes: int) -> int:
    """Lines that share memory; 0 where it brings nothing: without samples, and for lines of more than 2 MiB."""
    n_bytes = _payload_bytes(sizes)
    n_lines = min(MAX_LINES, min(_SLAB_BYTES, limit_bytes) // n_bytes) if n_bytes else 0
    return n_lines if n_lines > 1 else 0


class LineSlab:
    """Room for some messages of one size; their samples lie aligned, whatever their place in the stream.

    A line that is kept keeps the memory of all lines of its slab: of 64 at most, and 4 MiB at most.

    Parameters
    ----------
    sizes
        Of every line.
    n_lines
        From `lines_in_a_slab`.
    memory
        For the samples.
    """

    def __init__(self, sizes: Sizes, n_lines: int, memory: SlabMemory) -> None:
        self.sizes = sizes
        n_samples, n_channels, n_dimensions = sizes
        payload_bytes, trajectory_bytes = _payload_bytes(sizes), 4 * n_samples * n_dimensions
        self._message_bytes = _HEAD_BYTES + payload_bytes
        self._expected = (int(MessageId.ACQUISITION), _PLAIN, *sizes)
        self._n_lines = n_lines
        self._raw_heads = memoryview(bytearray(n_lines * _HEAD_BYTES))
        self._heads = (_Head * n_lines).from_buffer(self._raw_heads)
        stride = -(-payload_bytes // _ALIGNMENT) * _ALIGNMENT
        flat = memory.take(n_lines * stride)
        payload = flat.reshape(n_lines, stride)
        self._trajectories: npt.NDArray[np.float32] = (
            payload[:, :trajectory_bytes].view(np.float32).reshape(n_lines, n_samples, n_dimensions)
        )
        self._samples: npt.NDArray[np.complex64] = (
            payload[:, trajectory_bytes:payload_bytes].view(np.complex64).reshape(n_lines, n_channels, n_samples)
        )
        self._views: list[memoryview] = []
        for number in range(n_lines):
            self._views.append(self._raw_heads[number * _HEAD_BYTES : (number + 1) * _HEAD_BYTES])
            self._views.append(flat.data[number * stride : number * stride + payload_bytes])
        self._n_taken = self._n_filled = 0  # lines handed out; bytes of the stream since the first line

    @property
    def full(self) -> bool:
        """Whether all lines were handed out."""
        return self._n_taken == self._n_lines

    @property
    def between_messages(self) -> bool:
        """Whether no byte lies here that belongs to no line."""
        return self._n_filled == self._n_taken * self._message_bytes

    def room(self, n_lines: int) -> list[memoryview]:
        """Where the next bytes of the stream belong: the rest of the line that has begun, and so many more."""
        number, offset = divmod(self._n_filled, self._message_bytes)
        views = self._views[2 * number : 2 * (number + n_lines)]
        if offset >= _HEAD_BYTES:
            del views[0]
            offset -= _HEAD_BYTES
        if offset:
            views[0] = views[0][offset:]
        return views

    def received(self, n_bytes: int) -> None:
        """So many bytes lie in the room."""
        self._n_filled += n_bytes

    def take_lines(self) -> list[ismrmrd.Acquisition]:
        """The lines that are complete, up to the first message that is something else."""
        lines = []
        for number in range(self._n_taken, self._n_filled // self._message_bytes):
            if _NUMBERS.unpack_from(self._raw_heads, number * _HEAD_BYTES) != self._expected:
                break
            lines.append(make_line(self._heads[number].head, self._samples[number], self._trajectories[number]))
        self._n_taken += len(lines)
        return lines

    def contradicted(self) -> bool:
        """Whether the bytes that follow the lines handed out are no line of these sizes."""
        n_bytes = min(self._n_filled - self._n_taken * self._message_bytes, _HEAD_BYTES)
        at = self._n_taken * _HEAD_BYTES
        if n_bytes < _HEAD_BYTES:
            return self._raw_heads[at : at + min(2, n_bytes)] != _ID[:n_bytes]
        return _NUMBERS.unpack_from(self._raw_heads, at) != self._expected

    def take_back(self) -> bytes:
        """The bytes that follow the lines handed out; their place is free again."""
        n_bytes = self._n_filled - self._n_taken * self._message_bytes
        self._n_filled -= n_bytes
        n_begun = -(-n_bytes // self._message_bytes)
        return b"".join(self.room(n_begun))[:n_bytes]


def make_line(head: ismrmrd.AcquisitionHeader, samples: Any, trajectory: Any) -> ismrmrd.Acquisition:
    """`ismrmrd.Acquisition(head, samples, trajectory)` in a twentieth of the time, which every line of a scan takes.

    The constructor of ismrmrd 1.15 does no more, with three arguments of the right types, than keep them in these places.
    """
    line = ismrmrd.Acquisition.__new__(ismrmrd.Acquisition)
    line._head = head
    line._Acquisition__data = samples
    line._Acquisition__traj = trajectory
    return line


def _payload_bytes(sizes: Sizes) -> int:
    n_samples, n_channels, n_dimensions = sizes
    return n_samples * (8 * n_channels + 4 * n_dimensions)
