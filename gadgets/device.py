"""Slices on their way to the GPU, and back where it cannot take them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from nilatron.core.backend import Array, on_host, to_numpy, to_torch
from nilatron.gadgets.items import Context, KSpaceSlice

log = logging.getLogger(__name__)

Step = Callable[[KSpaceSlice], KSpaceSlice]


def to_device(array: Array, device: str) -> Array:
    """NumPy on the CPU; CuPy on a GPU, or torch where CuPy is not installed. What lies there already is not copied."""
    return to_numpy(array) if device == "cpu" else _on_gpu(array, device)


def _on_gpu(array: Array, device: str) -> Array:
    try:
        import cupy  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        return to_torch(array).to(device)
    return cupy.asarray(array)


def on_device(items: Iterable[Any], context: Context) -> Iterator[Any]:
    """K-space and calibration of the slices on the context's device; the counts, which are small, stay on the host."""
    for item in items:
        if not isinstance(item, KSpaceSlice):
            yield item
            continue
        try:
            item = moved(item, context.device)
        except (RuntimeError, MemoryError) as error:
            item = _noted(item, context, error)
        yield item


def retry_on_cpu(step: Step, item: KSpaceSlice, context: Context) -> KSpaceSlice:
    """What `step` makes of the slice; on the host, with a note, if the GPU fails or its memory does not suffice."""
    try:
        return step(item)
    except (RuntimeError, MemoryError) as error:
        if on_host(item.kspace):
            raise
        return step(moved(_noted(item, context, error), "cpu"))


def moved(item: KSpaceSlice, device: str) -> KSpaceSlice:
    """The slice with its samples, and coil maps if it has some, on `device`."""
    calibration, maps = (
        None if array is None else to_device(array, device) for array in (item.calibration, item.coil_maps)
    )
    return replace(item, kspace=to_device(item.kspace, device), calibration=calibration, coil_maps=maps)


def _noted(item: KSpaceSlice, context: Context, error: Exception) -> KSpaceSlice:
    log.warning("%s: on %s: %s; on the CPU instead", item.label, context.device, error)
    return item.with_note(f"prepared on the CPU, not on {context.device}: {error}")
