"""Milliseconds of a slice, stage by stage and as a whole, with the Nila image and with posterior samples."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from gpu.chain import Chain, node_settings
from gpu.findings import Findings
from gpu.memory import DeviceMemory
from gpu.place import Place, places, waiter
from gpu.scan import RawSlice, raw_slice
from gpu.size import Size
from gpu.through_gadgets import gadget_chain
from gpu.timing import Stopwatch
from nilatron.gadgets.conventional import FAILURES
from report import Cell

IMAGE_MS = 50.0
SAMPLES_MS = 150.0


def measure(found: Findings, device: str, size: Size) -> None:
    """Fill the tables; the first place is the chain's own, and has the bars."""
    (own, *others), absent = places(device)
    for what, why in absent.items():
        found.leave_out(what, why)
    watch, raw = Stopwatch(waiter(device), size), raw_slice(size)
    in_place(found, watch, raw, own, judged=size.judged)
    through_gadgets(found, watch, device, size)
    for place in others:
        in_place(found, watch, raw, place, judged=False)


def in_place(found: Findings, watch: Stopwatch, raw: RawSlice, place: Place, *, judged: bool) -> None:
    """The rows of a place, and its bars; what fails is a missed bar in any case."""
    size = watch.size
    for n_samples, limit_ms in ((0, IMAGE_MS), (size.n_samples, SAMPLES_MS)):
        what = "Nila image" if not n_samples else f"with {n_samples} posterior samples"
        chain = Chain(raw, place, size.weights, node_settings(n_samples))
        try:
            whole_ms = whole(found, watch, chain, what)
            if not n_samples:
                stages(found, watch, chain)
        except FAILURES as error:
            found.judge(f"{what}, {place.name}: {type(error).__name__}: {error}", math.inf, limit_ms, "ms")
            continue
        if judged:
            found.judge(f"{what}, {size.problem}, {place.name}: median", whole_ms, limit_ms, "ms")


def whole(found: Findings, watch: Stopwatch, chain: Chain, what: str) -> float:
    """A row of the whole way, from host to host; its median in ms."""
    memory = DeviceMemory(chain.place.device)
    memory.restart()
    times = watch.times(chain.run)
    found.add_row(
        "A slice from host to host",
        {
            "image": what,
            "arrays": chain.place.name,
            "median / ms": times.median_ms,
            "worst / ms": times.worst_ms,
            "calls": len(times.seconds),
            **memory.peaks(),
        },
    )
    return times.median_ms


def stages(found: Findings, watch: Stopwatch, chain: Chain) -> None:
    """A row of each stage, from an idle device to an idle device: their sum is more than the whole way."""
    raw_on_device = chain.upload()
    white = chain.whiten(raw_on_device)
    compressed = chain.compress(white)
    maps = chain.maps(compressed)
    problem = chain.start(compressed, maps)
    outcome = chain.sample(problem)
    calls: dict[str, Callable[[], object]] = {
        "upload": chain.upload,
        "whitening": lambda: chain.whiten(raw_on_device),
        f"compression to {compressed.kspace.shape[0]} coils": lambda: chain.compress(white),
        "maps": lambda: chain.maps(compressed),
        "CG-SENSE": lambda: chain.start(compressed, maps),
        "sampler": lambda: chain.sample(replace(problem)),  # image scale and noise level anew
        "download": lambda: chain.download(outcome),
    }
    for name, call in calls.items():
        times = watch.times(call)
        row: dict[str, Cell] = {"stage": name, "arrays": chain.place.name}
        found.add_row("Stages of the Nila image", row | {"median / ms": times.median_ms, "worst / ms": times.worst_ms})
    found.note(f"{chain.place.name}: network by {outcome.provenance['engine']}")


def through_gadgets(found: Findings, watch: Stopwatch, device: str, size: Size) -> None:
    """A row of the gadgets themselves, the conventional image included; nothing may fall back to the CPU."""
    for n_samples in (0, size.n_samples):
        what = "conventional and Nila image" if not n_samples else f"Nila image and {n_samples} posterior samples"
        try:
            times = watch.times(gadget_chain(size, device, n_samples))
        except FAILURES as error:
            found.judge(f"gadgets, {what}: {type(error).__name__}: {error}", math.inf, 0)
            continue
        found.add_row(
            "A slice through the gadgets",
            {"images": what, "median / ms": times.median_ms, "worst / ms": times.worst_ms, "calls": len(times.seconds)},
        )
