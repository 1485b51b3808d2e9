"""Agreement of NumPy, torch and CuPy, stage by stage, on the CPU and on the GPU."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from gpu.chain import Chain, node_settings
from gpu.findings import Findings
from gpu.place import NUMPY, TORCH_CPU, Place, places
from gpu.precision import full_float32
from gpu.reference import Reference, relative
from gpu.scan import raw_slice
from gpu.size import Size
from gpu.stages import Stage, classical_stages, network_stages, sampled, support_changed
from nilatron.core.backend import ComplexArray, to_numpy
from nilatron.core.metrics import foreground, psnr
from nilatron.core.sampling.image import ImageSettings
from nilatron.gadgets.conventional import FAILURES
from report import Cell

AGREEMENT = 1e-4  # relative
SUPPORT = 1e-3  # share of the pixels
WORSE_DB = 0.1
MAPS = ("ESPIRiT", "Walsh")


def measure(found: Findings, device: str, size: Size) -> None:
    """Fill the tables, and one bar for each place."""
    here, absent = places(device)
    for what, why in absent.items():
        found.leave_out(what, why)
    compared = [TORCH_CPU, *(place for place in here if place not in (NUMPY, TORCH_CPU))]
    reference = Reference(raw_slice(size))
    with full_float32():
        stages = {**classical_stages(), **network_stages(size.weights)}
        expected = {name: to_numpy(stage(NUMPY, reference)) for name, stage in stages.items()}
        for place in compared:
            differences(found, place, reference, stages, expected)
    as_it_runs(found, reference, size, [place for place in here if place is not NUMPY])


def differences(
    found: Findings,
    place: Place,
    reference: Reference,
    stages: Mapping[str, Stage],
    expected: Mapping[str, ComplexArray],
) -> None:
    """A row of each stage, and bars for the largest figures; a stage that fails has no figure, and no bar is reached."""
    found_by_stage: dict[str, float] = {}
    changed = 0.0
    for name, stage in stages.items():
        told = ""
        try:
            difference, support = difference_of(name, to_numpy(stage(place, reference)), expected[name])
        except FAILURES as error:
            difference, support, told = math.inf, 0.0, f"{type(error).__name__}: {error}"
        found_by_stage[name], changed = math.inf if math.isnan(difference) else difference, max(changed, support)
        row: dict[str, Cell] = {"stage": name, "place": place.name, "difference": difference, "": told}
        found.add_row("Relative difference to NumPy", row)
    worst = max(found_by_stage, key=found_by_stage.__getitem__)
    found.judge(f"difference to NumPy, {place.name}, largest for {worst}", found_by_stage[worst], AGREEMENT)
    found.judge(f"pixels with coil maps in NumPy or {place.name} alone", changed, SUPPORT)


def difference_of(name: str, found: ComplexArray, expected: ComplexArray) -> tuple[float, float]:
    """Relative difference, of coil maps where both are set; and the share of pixels where only one is."""
    if found.shape != expected.shape:
        raise ValueError(f"shape {found.shape} instead of {expected.shape}")
    if name not in MAPS:
        return relative(found, expected), 0.0
    both = np.any(found != 0, axis=0) & np.any(expected != 0, axis=0)
    return relative(found * both, expected * both), support_changed(found, expected)


def as_it_runs(found: Findings, reference: Reference, size: Size, others: list[Place]) -> None:
    """With the chain's own precision, graph and noise: what is left of the quality, against the truth."""
    truth, title = reference.raw.truth, "Nila image as it runs"
    mask = foreground(truth)

    def quality(place: Place) -> float:
        image = Chain(reference.raw, place, size.weights, node_settings()).run()["main"]
        value = psnr(image, truth, mask)
        found.add_row(title, {"place": place.name, "PSNR / dB": value})
        return value

    on_cpu = quality(NUMPY)
    for place in others:
        try:
            lost = on_cpu - quality(place)
        except FAILURES as error:
            found.note(f"{place.name}: {type(error).__name__}: {error}")
            lost = math.inf
        found.judge(f"what the Nila image loses, {place.name}", lost, WORSE_DB, "dB")
    expected = None
    for place in (NUMPY, *others):
        image = to_numpy(sampled(place, reference, size.weights, ImageSettings()))
        expected = image if expected is None else expected
        found.add_row(
            "Nila image, float32 as torch does it by default (TF32 on a GPU), iterations as they end",
            {"place": place.name, "difference to NumPy": relative(image, expected)},
        )
