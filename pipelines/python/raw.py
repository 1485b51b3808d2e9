"""The k-space of a raw file, as the reconstruction has it, one slice at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nilatron.core.backend import ComplexArray, FloatArray
from nilatron.gadgets.items import KSpaceSlice, ScanLog
from nilatron.gadgets.node import OF_LINES, build_node
from nilatron.gadgets.noise import NoiseSettings, Whitening
from nilatron.pipelines.replay.scan import context_of, no_images, scan_items, within_memory
from nilatron.pipelines.replay.settings import ReplaySettings
from nilatron.pipelines.stream.recorded import open_scan


@dataclass(frozen=True)
class RawSlice:
    """K-space of one slice or volume: what `nilatron.reconstruct` takes.

    Attributes
    ----------
    kspace
        Mean of the acquired lines, complex64 (coil, z, y, x), zero frequency at n // 2, without readout oversampling.
    counts
        How often each sample was acquired, (z, y, x).
    calibration
        Fully sampled block around the centre (coil, z, y, x); None where there is none.
    noise
        Noise covariance of a sample of this slice (coil, coil), from the scan's noise lines; None where there are none.
    header
        `ismrmrd.AcquisitionHeader` of the line nearest to the centre of k-space: geometry, indices, time stamps.
    notes
        What the reader of its images should know.
    """

    kspace: ComplexArray
    counts: FloatArray
    calibration: ComplexArray | None
    noise: ComplexArray | None
    header: Any
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class RawScan:
    """All slices of a raw file.

    Attributes
    ----------
    slices
        In the order in which they were complete.
    header
        The parsed ISMRMRD header (`ismrmrd.xsd.ismrmrdHeader`).
    problems
        What is missing or contradicts the header.
    """

    slices: Sequence[RawSlice]
    header: Any
    problems: tuple[str, ...]


def read_raw(path: str | Path, *, group: str = "dataset", noise: str | Path | None = None) -> RawScan:
    """K-space, counts, calibration and noise of every slice of an ISMRMRD raw file.

    Lines are sorted, averaged, turned and regridded as for an image; nothing is whitened.

    Parameters
    ----------
    path
        The raw file.
    group
        Group of the raw data.
    noise
        Raw file with the noise scan, in place of the scan's own.

    Raises
    ------
    ValueError
        For a file that cannot be read, or holds no image.
    """
    settings = ReplaySettings(Path(path), None, group=group, noise=None if noise is None else Path(noise), device="cpu")
    node, scan = build_node("zero_filled", {}, parts=OF_LINES), ScanLog()
    with open_scan(settings.raw, group) as raw:
        context = context_of(settings, raw, scan)
        whitening = Whitening(node.settings[NoiseSettings])
        slices = [
            RawSlice(
                item.kspace,
                item.counts,
                item.calibration,
                whitening.covariance(item, context),
                item.head,
                item.notes,
            )
            for item in node.slices(within_memory(scan_items(raw, settings), context), context, whitening)
            if isinstance(item, KSpaceSlice)
        ]
    if not slices:
        raise no_images(scan, settings)
    return RawScan(tuple(slices), context.header, tuple(scan.problems))
