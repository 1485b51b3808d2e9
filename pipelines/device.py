"""Where to compute. Knows nothing of ISMRMRD, so that training runs where that is not installed."""

from __future__ import annotations

import ctypes
import sys

from nilatron.core.errors import BadInputError

DRIVER = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"


def resolve_device(device: str) -> str:
    """`auto`, `cpu` or `cuda` to one of the latter two.

    Torch, which takes seconds to import, is only asked where its answer can matter.

    Raises
    ------
    BadInputError
        For another word, or for cuda where there is none.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise BadInputError(f"device must be auto, cpu or cuda, got {device!r}")
    if device == "cpu" or (device == "auto" and not has_driver()):
        return "cpu"
    import torch

    available = torch.cuda.is_available()
    if device == "cuda" and not available:
        raise BadInputError("device cuda was asked for, but torch finds no CUDA GPU; use --device cpu or auto")
    return "cuda" if available else "cpu"


def has_driver() -> bool:
    """Whether NVIDIA's driver is installed, without which torch finds no GPU."""
    try:
        ctypes.CDLL(DRIVER)
    except OSError:
        return False
    return True
