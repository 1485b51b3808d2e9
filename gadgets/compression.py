"""Fewer coils for everything behind: the virtual coils that hold more than noise."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from nilatron.core.backend import converted_to, namespace
from nilatron.core.bounds import bounded, check_bounds
from nilatron.core.coils.compression import compress, compression_matrix
from nilatron.gadgets.device import retry_on_cpu
from nilatron.gadgets.items import Context, KSpaceSlice

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CompressionSettings:
    """How many virtual coils."""

    virtual_coils: int | None = bounded(None, 1, 1024)  # at most; "auto" keeps all that hold more than noise

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        check_bounds(self)


@dataclass(frozen=True)
class CoilCompression:
    """The gadget. Slices have to be whitened."""

    settings: CompressionSettings

    def __call__(self, items: Iterable[Any], context: Context) -> Iterator[Any]:
        """Slices with fewer coils; everything else passes."""
        for item in items:
            yield retry_on_cpu(self._compressed, item, context) if isinstance(item, KSpaceSlice) else item

    def _compressed(self, item: KSpaceSlice) -> KSpaceSlice:
        counts = converted_to(item.counts, item.kspace)
        weighted = namespace(counts).sqrt(counts) * item.kspace
        matrix = compression_matrix(weighted, counts, self.settings.virtual_coils)
        n_coils, n_kept = item.kspace.shape[0], matrix.shape[0]
        if n_kept == n_coils:
            return item
        log.info("%s: %d coils compressed to %d virtual ones", item.label, n_coils, n_kept)
        calibration, maps = (
            None if array is None else compress(matrix, array) for array in (item.calibration, item.coil_maps)
        )
        return replace(item, kspace=compress(matrix, item.kspace), calibration=calibration, coil_maps=maps)
