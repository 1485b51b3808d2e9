"""What the machine allows: network arithmetic over its convolution rate, Fourier transforms over its bandwidth.

usage: python benchmarks/floors.py [--weights NAME|FILE] [--matrix 256] [--coils 16] [--evaluations 8] [--products 80]

floor = evaluations * FLOPs of one evaluation / convolution rate + products * bytes of one A^H A / copy bandwidth

The rate is the best of 3x3 convolutions of 48 to 96 channels in fp32 and bf16 (channels last), the bandwidth that of copying a
large array, both with all cores that the process may use; on a GPU of 16 images at once, and in fp16, too. FLOPs count a
multiplication and an addition as two. A^H A reads the maps twice, and writes and reads all coil images once for each of its two
transforms.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from nilatron.core.prior.edm_weights import load_prior
from nilatron.core.prior.weights import find_weights

CONVOLUTIONS = ((48, 256), (72, 128), (96, 128), (96, 64))  # channels, sides of the image
COPY_BYTES = 1 << 28
COMPLEX_BYTES = 8
LEAST_S = 0.3  # of each measurement
GPU_BATCH = 16  # one image leaves a GPU idle


@dataclass(frozen=True)
class Machine:
    """What it does in a second.

    Attributes
    ----------
    convolution_flops, convolution
        Of the fastest convolution, and which that is.
    copy_bytes
        Read and written, when a large array is copied.
    """

    n_cores: int
    convolution_flops: float
    convolution: str
    copy_bytes: float


def best_s(call: Callable[[], object], device: str = "cpu") -> float:
    """Seconds of the fastest of several calls; on a GPU until their work is done."""
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    call()
    taken: list[float] = []
    while len(taken) < 3 or sum(taken) < LEAST_S:
        wait()
        started = time.perf_counter()
        call()
        wait()
        taken.append(time.perf_counter() - started)
    return min(taken)


def measure_machine(device: str = "cpu") -> Machine:
    """Measure both rates, of the processor or of the GPU."""
    rates = {}
    on_gpu = device == "cuda"
    for dtype in (torch.float32, torch.bfloat16, *([torch.float16] if on_gpu else [])):
        for n_channels, size in CONVOLUTIONS:
            rates[f"{str(dtype).removeprefix('torch.')}, {n_channels} channels, {size}x{size}"] = convolution_rate(
                n_channels, size, dtype, device, GPU_BATCH if on_gpu else 1
            )
    fastest = max(rates, key=rates.__getitem__)
    source = torch.ones(COPY_BYTES // 4, device=device)
    target = torch.empty_like(source)
    copied = 2 * COPY_BYTES / best_s(lambda: target.copy_(source), device)
    return Machine(len(os.sched_getaffinity(0)), rates[fastest], fastest, copied)


def convolution_rate(n_channels: int, size: int, dtype: torch.dtype, device: str = "cpu", n_images: int = 1) -> float:
    """FLOPs a second of a 3x3 convolution."""
    layer = torch.nn.Conv2d(n_channels, n_channels, 3, padding=1).to(device, dtype)
    layer = layer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = torch.randn(n_images, n_channels, size, size, device=device).to(dtype)
    x = x.contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        seconds = best_s(lambda: layer(x), device)
    return 2 * 9 * n_channels**2 * size**2 * n_images / seconds


def network_flops(weights: Path, shape: tuple[int, int]) -> float:
    """FLOPs of one evaluation for an image (y, x), padding included."""
    denoiser = load_prior(weights).denoiser
    with FlopCounterMode(display=False) as counter:
        denoiser.denoise(torch.zeros((1, *shape), dtype=torch.complex64), 0.1)
    return float(counter.get_total_flops())


def product_bytes(n_coils: int, shape: tuple[int, ...]) -> int:
    """Bytes that one A^H A cannot do without, for an image of `shape`."""
    n_pixels = 1
    for size in shape:
        n_pixels *= size
    return COMPLEX_BYTES * n_coils * n_pixels * (2 + 2 * 2)


@dataclass(frozen=True)
class Floor:
    """Seconds below which a run cannot come on this machine."""

    network_s: float
    fourier_s: float

    @property
    def total_s(self) -> float:
        """Both."""
        return self.network_s + self.fourier_s


def floor_of(machine: Machine, n_evaluations: float, flops: float, n_products: float, n_bytes: int) -> Floor:
    """Floor of a run that made so many evaluations and products."""
    return Floor(n_evaluations * flops / machine.convolution_flops, n_products * n_bytes / machine.copy_bytes)


def main() -> int:
    """Print machine and floor."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=find_weights, default="default", help="default, tiny or a file")
    parser.add_argument("--matrix", type=int, default=256)
    parser.add_argument("--coils", type=int, default=16)
    parser.add_argument("--evaluations", type=int, default=8)
    parser.add_argument("--products", type=int, default=80, help="A^H A applied")
    parser.add_argument("--json", action="store_true", help="the machine alone, for programs")
    options = parser.parse_args()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    machine = measure_machine()
    if options.json:
        print(json.dumps(asdict(machine)))
        return 0
    shape = (options.matrix, options.matrix)
    flops, n_bytes = network_flops(options.weights, shape), product_bytes(options.coils, shape)
    floor = floor_of(machine, options.evaluations, flops, options.products, n_bytes)
    print(f"{machine.n_cores} cores: {machine.convolution_flops / 1e9:.0f} GFLOP/s ({machine.convolution})")
    print(f"copying: {machine.copy_bytes / 1e9:.1f} GB/s")
    print(f"network: {options.evaluations} x {flops / 1e9:.2f} GFLOP = {1e3 * floor.network_s:.0f} ms at least")
    print(f"Fourier: {options.products} x {n_bytes / 1e6:.1f} MB = {1e3 * floor.fourier_s:.0f} ms at least")
    return 0


if __name__ == "__main__":
    sys.exit(main())
