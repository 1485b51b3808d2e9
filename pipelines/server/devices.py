"""Which GPUs there are, without loading a library that would take hold of them."""

from __future__ import annotations

import os
from pathlib import Path


def visible_gpus(device: str) -> list[str]:
    """Names for CUDA_VISIBLE_DEVICES, one for each worker; none where the CPU is to do it."""
    if device == "cpu":
        return []
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [name.strip() for name in chosen.split(",") if name.strip() and name.strip() != "-1"]
    numbers = [path.name.removeprefix("nvidia") for path in Path("/dev").glob("nvidia[0-9]*")]
    return [str(n) for n, _ in enumerate(sorted(numbers))]
