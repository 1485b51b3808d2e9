"""Memory that lines are received into, used again when nothing looks into it any more."""

from __future__ import annotations

import weakref

import numpy as np
import numpy.typing as npt

SPARE_BYTES = 1 << 25


class SlabMemory:
    """Blocks of the size that was asked for last; of those without use, 32 MiB are kept at most.

    Fresh memory is mapped and cleared by the system page by page, which takes as long as receiving into it.
    """

    def __init__(self) -> None:
        self._n_bytes = 0
        self._spare: list[memoryview] = []

    def take(self, n_bytes: int) -> npt.NDArray[np.uint8]:
        """So many bytes, with anything in them; their block has no use when the array and all views of it are gone."""
        if n_bytes != self._n_bytes:
            self._n_bytes, self._spare = n_bytes, []
        block = self._spare.pop() if self._spare else np.empty(n_bytes, np.uint8).data
        array = np.frombuffer(block, np.uint8)  # views of it hold it; of an array over an array they would not
        weakref.finalize(array, self._give_back, block).atexit = False
        return array

    def _give_back(self, block: memoryview) -> None:
        if len(block) == self._n_bytes and (len(self._spare) + 1) * self._n_bytes <= SPARE_BYTES:
            self._spare.append(block)
