"""Choice of the device, CPU or GPU. Does not import ISMRMRD, so that training runs without it."""

from __future__ import annotations

import ctypes
import sys

from nilatron.core.errors import BadInputError

DRIVER = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"


def resolve_device(device: str) -> str:
    """The device "cpu" or "cuda" for `device`, which is "auto", "cpu" or "cuda".

    Torch, which takes seconds to import, is imported only if the machine may have a GPU.

    Raises
    ------
    BadInputError
        For another word, or for "cuda" without a GPU.
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
    """Whether NVIDIA's driver is installed; without it torch finds no GPU."""
    try:
        ctypes.CDLL(DRIVER)
    except OSError:
        return False
    return True
