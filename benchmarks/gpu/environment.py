"""What was measured on: GPU, driver, packages, processor."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from gpu.driver import NoGpuError, find_driver
from gpu.findings import Findings
from gpu.size import Size
from nilatron import __version__

PACKAGES = {  # by name: distributions, and what is left out without any of them
    "NumPy": (("numpy",), ""),
    "SciPy": (("scipy",), ""),
    "array-api-compat": (("array-api-compat",), ""),
    "CuPy": (("cupy-cuda13x", "cupy-cuda12x", "cupy"), "the classical stages run in torch on the GPU"),
    "TensorRT": (("tensorrt-cu13", "tensorrt-cu12", "tensorrt"), "its engine and its tests are left out"),
    "ONNX": (("onnx",), "the engines ONNX Runtime and TensorRT are left out"),
    "ONNX Script": (("onnxscript",), "the engines ONNX Runtime and TensorRT are left out"),
    "ONNX Runtime": (("onnxruntime-gpu", "onnxruntime"), "its engine is left out"),
    "pytest": (("pytest",), "the tests are left out"),
}
DRIVER_VERSION = Path("/proc/driver/nvidia/version")


def measure(found: Findings, device: str, size: Size) -> None:
    """One table, and what is absent."""
    for what, value in (*gpu(device), *processor(), ("problem", str(size)), ("nilatron", __version__)):
        found.add_row("Environment", {"what": what, "found": value})
    found.add_row("Environment", {"what": "torch", "found": torch_version()})
    for name, (distributions, without) in PACKAGES.items():
        version = version_of(distributions)
        found.add_row("Environment", {"what": name, "found": version or "not installed"})
        if not version and without:
            found.leave_out(name, f"not installed: {without}")


def gpu(device: str) -> Iterator[tuple[str, str]]:
    """Of torch, and of the driver."""
    if device == "cpu":
        yield "GPU", "none: the CPU stands in for it"
    else:
        made = torch.cuda.get_device_properties(0)
        memory = f"{made.total_memory / 2**30:.1f} GiB, {made.multi_processor_count} multiprocessors"
        yield "GPU", f"{made.name}, {memory}, capability {made.major}.{made.minor}"
    try:
        driver = find_driver()
        yield "driver", f"{driver.n_gpus} GPU(s), for CUDA up to {driver.cuda}"
    except NoGpuError as error:
        yield "driver", str(error)
    if DRIVER_VERSION.is_file():
        yield "driver's version", DRIVER_VERSION.read_text().splitlines()[0]


def processor() -> Iterator[tuple[str, str]]:
    """Model, cores, load, interpreter."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    yield "CPU", models[0] if models else platform.processor() or platform.machine()
    yield "cores", f"{len(os.sched_getaffinity(0))} (load {os.getloadavg()[0]:.1f})"
    yield "system", f"{platform.system()} {platform.release()}, Python {platform.python_version()}"


def torch_version() -> str:
    """With the versions of the libraries that it brings."""
    cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    return f"{torch.__version__}, CUDA {torch.version.cuda}, cuDNN {cudnn}"


def version_of(distributions: Sequence[str]) -> str:
    """Name and version of the first that is installed, or nothing."""
    for name in distributions:
        try:
            return f"{name} {importlib.metadata.version(name)}"
        except importlib.metadata.PackageNotFoundError:
            continue
    return ""
