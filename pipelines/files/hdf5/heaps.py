"""Heaps of HDF5 files, in which values of variable length lie: read by hand, because HDF5 trusts them.

    "GCOL" version reserved(3) size | index(2) users(2) reserved(4) size content, padded to 8 bytes | ... | index 0: the rest

A damaged one has HDF5 read for ever, and a value whose length is not that of its object has it write beyond its memory.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from typing import NoReturn

from nilatron.pipelines.files.atomic import InputError

SIGNATURE = b"GCOL\x01"
_SIZE_AT = 8  # in a heap and in the head of an object
_REMEMBERED = 64


@dataclass(frozen=True, eq=False)
class Heaps:
    """The heaps of an open file; one is itself alone, so that none is taken for that of another file.

    Attributes
    ----------
    descriptor, base
        Of the file, and the place from which its addresses count.
    size_bytes
        Of a size within it.
    """

    descriptor: int
    base: int
    size_bytes: int

    @property
    def head_bytes(self) -> int:
        """Of the head of a heap, and of an object."""
        return _padded(_SIZE_AT + self.size_bytes)

    @lru_cache(_REMEMBERED)  # noqa: B019 - of few heaps, for as long as a dataset is looked at
    def sizes(self, address: int) -> dict[int, int]:
        """Bytes of each object of the heap at an address, by its index.

        Raises
        ------
        InputError
            When there is no heap, or it is damaged.
        """
        place, n_bytes = self.base + address, self.head_bytes
        if place + n_bytes >= 1 << 63:
            _refuse(address)
        head = os.pread(self.descriptor, n_bytes, place)
        size = self._size(head, 0)
        if not head.startswith(SIGNATURE) or size > os.fstat(self.descriptor).st_size - place:
            _refuse(address)
        return self._objects(os.pread(self.descriptor, size, place), address)

    def _objects(self, heap: bytes, address: int) -> dict[int, int]:
        found, at = dict[int, int](), self.head_bytes
        while len(heap) - at >= self.head_bytes:
            index, size = int.from_bytes(heap[at : at + 2], "little"), self._size(heap, at)
            taken = size if index == 0 else self.head_bytes + _padded(size)
            if not self.head_bytes <= taken <= len(heap) - at:
                _refuse(address)
            if index:
                found[index] = size
            at += taken
        return found

    def _size(self, content: bytes, at: int) -> int:
        return int.from_bytes(content[at + _SIZE_AT : at + _SIZE_AT + self.size_bytes], "little")


def _padded(n_bytes: int) -> int:
    return -(-n_bytes // 8) * 8


def _refuse(address: int) -> NoReturn:
    raise InputError(f"the heap at {address} is damaged")
