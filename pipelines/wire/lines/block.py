"""Many lines in few arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, overload

import ismrmrd
import numpy as np
import numpy.typing as npt

from nilatron.gadgets.stock.types import HeaderArray


@dataclass(frozen=True, eq=False)
class LineBlock(Sequence[Any]):
    """The lines of a bucket: a sequence of `ismrmrd.Acquisition`, each made when it is asked for.

    They share their memory with the arrays, so that what is written into one stays.

    Attributes
    ----------
    headers
        Structured (`structures.ACQUISITION_HEADER`), one per line.
    trajectories, samples
        Float32 and complex64, one line after the other.
    """

    headers: HeaderArray
    trajectories: npt.NDArray[np.float32]
    samples: npt.NDArray[np.complex64]

    def __len__(self) -> int:
        return len(self.headers)

    @overload
    def __getitem__(self, index: int) -> ismrmrd.Acquisition: ...
    @overload
    def __getitem__(self, index: slice) -> list[ismrmrd.Acquisition]: ...
    def __getitem__(self, index: int | slice) -> ismrmrd.Acquisition | list[ismrmrd.Acquisition]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        at = range(len(self))[index]
        head = ismrmrd.AcquisitionHeader.from_buffer(self._header_bytes, at * self.headers.itemsize)
        samples_end, trajectory_end = self._ends[0][at], self._ends[1][at]
        n, n_channels, n_dimensions = head.number_of_samples, head.active_channels, head.trajectory_dimensions
        samples = self.samples[samples_end - n * n_channels : samples_end].reshape(n_channels, n)
        trajectory = self.trajectories[trajectory_end - n * n_dimensions : trajectory_end].reshape(n, n_dimensions)
        return ismrmrd.Acquisition(head, samples, trajectory)

    @cached_property
    def _header_bytes(self) -> memoryview:
        return self.headers.view(np.uint8).data

    @cached_property
    def _ends(self) -> tuple[list[int], list[int]]:
        """Where the samples and the trajectory of each line end."""
        return np.cumsum(sample_counts(self.headers)).tolist(), np.cumsum(trajectory_counts(self.headers)).tolist()


def sample_counts(headers: HeaderArray) -> npt.NDArray[np.int64]:
    """Samples of all channels together, per line."""
    return _product(headers, "number_of_samples", "active_channels")


def trajectory_counts(headers: HeaderArray) -> npt.NDArray[np.int64]:
    """Trajectory values, per line."""
    return _product(headers, "number_of_samples", "trajectory_dimensions")


def _product(headers: HeaderArray, first: str, second: str) -> npt.NDArray[np.int64]:
    product: npt.NDArray[np.int64] = headers[first].astype(np.int64) * headers[second]
    return product
