"""How near the network, the products of data consistency and the sampler come to what operations and bytes allow."""

from __future__ import annotations

from dataclasses import replace

import torch

from floors import floor_of, measure_machine, network_flops, product_bytes
from gpu.chain import Chain, engine, node_settings
from gpu.findings import Findings
from gpu.place import places, waiter
from gpu.scan import raw_slice
from gpu.size import Size
from gpu.stages import LEVEL
from gpu.timing import Stopwatch
from nilatron.core.backend import to_torch
from nilatron.core.prior.edm import denoise_complex
from peers.ours import COARSE_PIXELS
from report import Cell

TITLE = "Floors: operations over the rate of convolutions, bytes over the bandwidth of copying"


def measure(found: Findings, device: str, size: Size) -> None:
    """The two rates of the device, and a row for each floor."""
    machine = measure_machine(device)
    found.note(
        f"{machine.convolution_flops / 1e12:.3g} TFLOP/s ({machine.convolution}), "
        f"copying {machine.copy_bytes / 1e9:.4g} GB/s, read and written"
    )
    watch = Stopwatch(waiter(device), size)
    chain = Chain(raw_slice(size), places(device)[0][0], size.weights, node_settings())
    problem, channels = chain.problem(), engine(size.weights, device, chain.settings).denoiser
    made = chain.sample(problem).provenance
    flops = network_flops(size.weights, chain.raw.shape[1:])
    n_bytes = product_bytes(int(problem.data.shape[0]), chain.raw.shape)
    steps, coarse, iterations = (int(made[name]) for name in ("steps", "coarse_steps", "cg_iterations"))
    share = 1 - coarse / steps * (1 - COARSE_PIXELS)
    image = to_torch(problem.conventional).to(device)[None]
    image = image / torch.linalg.vector_norm(image, ord=torch.inf)
    for name, n_evaluations, n_products, call in (
        ("one evaluation of the network", 1.0, 0.0, lambda: denoise_complex(channels, image, LEVEL)),
        ("one A^H A", 0.0, 1.0, lambda: problem.operator.normal(problem.conventional)),
        (
            "the sampler",
            share * steps,
            share * (iterations + steps),
            lambda: chain.sample(replace(problem)),
        ),  # image scale and noise level anew
    ):
        floor_ms = 1e3 * floor_of(machine, n_evaluations, flops, n_products, n_bytes).total_s
        taken_ms = watch.times(call).median_ms
        row: dict[str, Cell] = {
            "of": name,
            "GFLOP": n_evaluations * flops / 1e9,
            "MB": n_products * n_bytes / 1e6,
            "floor / ms": floor_ms,
            "median / ms": taken_ms,
            "floor / median": floor_ms / taken_ms,
        }
        found.add_row(TITLE, row)
