"""A slice through the gadgets of the chain, behind the gridding of its lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from gpu.chain import FellBackError, node_settings
from gpu.scan import settings_of
from gpu.size import Size
from nilatron.gadgets.accumulate import Accumulator
from nilatron.gadgets.compression import CoilCompression, CompressionSettings
from nilatron.gadgets.device import on_device
from nilatron.gadgets.items import Context, Reconstruction
from nilatron.gadgets.noise import NoiseSettings, Whitening
from nilatron.gadgets.reconstruct import Reconstructor
from nilatron.gadgets.sensitivities import estimate_sensitivities
from nilatron.pipelines.simulation.simulate import simulate_items


def gadget_chain(size: Size, device: str, n_samples: int) -> Callable[[], list[Reconstruction]]:
    """What makes the images of one gridded slice, as `gadgets.node` connects the gadgets.

    The call raises FellBackError where something was computed on the CPU in place of the device, or left out.
    """
    header, lines = simulate_items(settings_of(size))
    context = Context(header, device=device)
    whitening = Whitening(NoiseSettings())
    gridded = list(Accumulator()(whitening.lines(lines, context), context))
    settings = node_settings(n_samples)

    def call() -> list[Reconstruction]:
        stream: Iterator[Any] = on_device(gridded, context)
        stream = whitening.slices(stream, context)
        stream = CoilCompression(CompressionSettings())(stream, context)
        stream = estimate_sensitivities(stream, context)
        images = list(Reconstructor("nila", settings, size.weights)(stream, context))
        check(images, device, len(settings.series))
        return images

    return call


def check(images: list[Reconstruction], device: str, n_expected: int) -> None:
    """All images are there, made on the device as asked for."""
    if len(images) != n_expected:
        raise FellBackError(f"{len(images)} images came instead of {n_expected}")
    for image in images:
        told = [image.provenance[key] for key in ("fallback", "shortened") if key in image.provenance]
        told += [note for note in image.source.notes if "on the CPU" in note]
        if image.provenance["device"] != device or told:
            raise FellBackError(f"{image.role} image on {image.provenance['device']}: {'; '.join(told)}")
