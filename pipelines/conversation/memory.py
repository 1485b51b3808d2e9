"""Estimate of the memory of a scan, and refusal of a scan that needs too much, at its first line."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import ismrmrd

from nilatron.gadgets.encoding import kept_width
from nilatron.gadgets.items import Context, ScanError

GIB = 1 << 30
_SAMPLE_BYTES = 8
_WORKING_COPIES = 8  # arrays of the size of one image's k-space during its reconstruction: mean, maps, iterations
_OPEN_AT_ONCE = ("slice", "contrast", "phase", "set")  # repetitions are completed and averages merged one by one
_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


@dataclass(frozen=True)
class Estimate:
    """Memory of a scan: `n_images` of `image_bytes` each collect lines at the same time, and one is reconstructed."""

    n_images: int
    image_bytes: int
    shape: tuple[int, int, int, int]  # (coil, z, y, x)

    @property
    def n_bytes(self) -> int:
        """Total memory in bytes."""
        return (self.n_images + _WORKING_COPIES) * self.image_bytes

    @property
    def text(self) -> str:
        """The estimate in words, for messages."""
        shape = " x ".join(map(str, self.shape))
        return f"{self.n_bytes / GIB:.3g} GiB ({self.n_images} images of {shape} samples (coil, z, y, x) at once)"


def estimate(header: Any, n_coils: int) -> Estimate:
    """Upper estimate, from a parsed ISMRMRD header, of the memory of a scan whose lines arrive one by one."""
    estimates = []
    for encoding in header.encoding:
        matrix = encoding.encodedSpace.matrixSize
        shape = (n_coils, int(matrix.z), int(matrix.y), min(kept_width(encoding), int(matrix.x)))
        n_images = prod(_extent(getattr(encoding.encodingLimits, name, None)) for name in _OPEN_AT_ONCE)
        estimates.append(Estimate(n_images, prod(shape) * _SAMPLE_BYTES, shape))
    return max(estimates, key=lambda candidate: candidate.n_bytes)


def refuse_above(limit_bytes: int) -> Callable[[Iterable[Any], Context], Iterator[Any]]:
    """Gadget that passes all items on, but refuses the scan at its first line if it needs more than `limit_bytes`."""

    def check(items: Iterable[Any], context: Context) -> Iterator[Any]:
        checked = False
        for item in items:
            if isinstance(item, ismrmrd.Acquisition) and not checked:
                checked = True
                found = estimate(context.header, int(item.active_channels))
                if found.n_bytes > limit_bytes:
                    raise ScanError(
                        f"this scan needs about {found.text}, more than the {limit_bytes / GIB:.3g} GiB that it may "
                        "take; use a machine with more memory, fewer coils (PCACoilGadget) or fewer slices"
                    )
            yield item

    return check


def memory_bytes() -> int:
    """Memory of this machine, or of the container if that has less."""
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        return min(physical, int(_CGROUP_LIMIT.read_text()))
    except (OSError, ValueError):  # another system, or "max"
        return physical


def _extent(limit: Any) -> int:
    first, last = getattr(limit, "minimum", None) or 0, getattr(limit, "maximum", None) or 0
    return max(1, int(last) - int(first) + 1)
