"""Noise of a file in front of the items of a stream, and the noise of a stream in a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import ismrmrd
import numpy as np

from nilatron.gadgets.flags import LineKind, kind_of
from nilatron.gadgets.items import Context
from nilatron.gadgets.noise.scan import NoiseScan
from nilatron.pipelines.files.atomic import InputError, atomic_path
from nilatron.pipelines.files.noise_file import Channels, is_image_line, noise_lines
from nilatron.pipelines.files.raw_scan import RawScan
from nilatron.pipelines.mrd2.noise import noise_model, write_noise
from nilatron.pipelines.mrd2.schema import Model


def is_noise(item: Any) -> bool:
    """Whether this is a line of a noise scan."""
    return isinstance(item, ismrmrd.Acquisition) and kind_of(item.flags) is LineKind.NOISE


def with_noise(items: Iterable[Any], noise: RawScan, header: Any) -> Iterator[Any]:
    """The items of a scan with the noise of a file in place of their own.

    The noise lines go before the first line of an image, whose channels they get, or before the first bucket or buffer.

    Raises
    ------
    InputError
        When the noise does not fit.
    """
    told = False
    for item in items:
        if is_noise(item):
            continue
        is_other_line = isinstance(item, ismrmrd.Acquisition) and not is_image_line(item)
        if not told and not is_other_line and not isinstance(item, ismrmrd.Waveform | ismrmrd.Image):
            told = True
            yield from noise_lines(noise, Channels.of(item, header) if is_image_line(item) else None, header)
        yield item


class NoiseTap:
    """Collects the noise lines of a stream that passes, for other scans."""

    def __init__(self) -> None:
        self._scan = NoiseScan()

    def watch(self, items: Iterable[Any], header: Any) -> Iterator[Any]:
        """The items as they are."""
        for item in items:
            if is_noise(item) and np.isfinite(item.data).all():
                self._scan.add(item, header)
            yield item

    def write(self, path: Path, context: Context, model: Model | None) -> None:
        """Write the covariance, for scans whose streams have this model; None: MRD v1.

        Raises
        ------
        InputError
            When there was no noise, or none that can be used.
        OutputError
            When it cannot be written.
        """
        noise = self._scan.largest(context)
        if noise is None or noise.fault:
            why = "no noise line came" if noise is None else f"the noise scan {noise.fault}"
            raise InputError(f"{path}: there is no noise covariance to write: {why}")
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            write_noise(file, noise, noise_model(model))
