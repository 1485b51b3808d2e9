"""Is there an NVIDIA GPU? Asked of the driver itself, before anything is installed: only the standard library is needed."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nilatron.pipelines.device import DRIVER

NO_DEVICE = 100  # CUDA_ERROR_NO_DEVICE


class NoGpuError(RuntimeError):
    """Why there is no GPU to measure."""


@dataclass(frozen=True)
class Driver:
    """NVIDIA's driver.

    Attributes
    ----------
    n_gpus
        That this process may use.
    cuda
        Highest version of CUDA that it knows, e.g. "13.0": builds for a later major version do not run.
    """

    n_gpus: int
    cuda: str


def find_driver(load: Callable[[str], Any] = ctypes.CDLL) -> Driver:
    """The driver of this machine.

    Raises
    ------
    NoGpuError
        When there is no driver, or it finds no GPU.
    """
    try:
        library = load(DRIVER)
    except OSError:
        raise NoGpuError(f"no NVIDIA GPU: the driver's library {DRIVER} is not on this machine") from None
    error = library.cuInit(0)
    if error:
        what = "finds no GPU" if error == NO_DEVICE else f"cannot start (CUDA error {error})"
        raise NoGpuError(
            f"no NVIDIA GPU: the driver's library {DRIVER} is here, but {what}; look at nvidia-smi and CUDA_VISIBLE_DEVICES"
        )
    n_gpus, version = ctypes.c_int(), ctypes.c_int()
    library.cuDeviceGetCount(ctypes.byref(n_gpus))
    library.cuDriverGetVersion(ctypes.byref(version))
    return Driver(n_gpus.value, f"{version.value // 1000}.{version.value % 1000 // 10}")
