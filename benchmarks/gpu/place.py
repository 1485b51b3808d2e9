"""Where arrays lie: a library and its device; and how to wait for a GPU."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from nilatron.core.backend import Array, to_torch


@dataclass(frozen=True)
class Place:
    """A library on a device.

    Attributes
    ----------
    name
        In tables.
    device
        Of torch, "cpu" or "cuda": where the network computes for it.
    put
        Copies a NumPy array to there.
    """

    name: str
    device: str
    put: Callable[[Array], Array]


NUMPY = Place("NumPy", "cpu", np.array)
TORCH_CPU = Place("torch, CPU", "cpu", lambda array: to_torch(np.array(array)))
TORCH_GPU = Place("torch, GPU", "cuda", lambda array: to_torch(array).to("cuda"))


def places(device: str) -> tuple[list[Place], dict[str, str]]:
    """The places of `device` ("cpu" or "cuda"), the chain's own first, and what is absent of them with the reason."""
    if device == "cpu":
        return [NUMPY, TORCH_CPU], {}
    try:
        cupy = cupy_on_gpu()
    except ImportError as error:
        return [TORCH_GPU], {"CuPy": f"{error}: the classical stages run in torch on the GPU"}
    return [Place("CuPy", "cuda", cupy.asarray), TORCH_GPU], {}


def cupy_on_gpu() -> Any:
    """The package.

    Raises
    ------
    ImportError
        When it is not installed, or installed for another version of CUDA.
    """
    return importlib.import_module("cupy")


def waiter(device: str) -> Callable[[], None]:
    """What returns when all that was queued on the device is done, by whichever library."""
    if device == "cpu":
        return lambda: None
    try:
        streams = cupy_on_gpu().cuda
    except ImportError:
        return torch.cuda.synchronize

    def wait() -> None:
        streams.get_current_stream().synchronize()
        torch.cuda.synchronize()

    return wait
