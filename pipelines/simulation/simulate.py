"""A scan that never happened: a phantom or an image to an ISMRMRD raw file, as a scanner would stream it.

The object is drawn on the encoded (oversampled) field of view as voxel averages, multiplied by the coils and
transformed: y = F S x + n. So the measurement model of the reconstruction holds exactly, and the noise-free image of
all lines is x itself. In k-space units x is at most about 1 and noise has the complex standard deviation `noise_std`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import ismrmrd
import ismrmrd.xsd as xsd
import numpy as np

from nilatron.core.backend import ComplexArray
from nilatron.pipelines.files.atomic import InputError, atomic_path
from nilatron.pipelines.files.disk import npy_bytes
from nilatron.pipelines.files.hdf5.writer import Hdf5Writer
from nilatron.pipelines.files.raw_writer import write_raw
from nilatron.pipelines.simulation.header import simulated_header
from nilatron.pipelines.simulation.scanned_object import ground_truth, to_recon_grid, true_coil_maps
from nilatron.pipelines.simulation.settings import EXTRA_FLAGS, SimulationSettings
from nilatron.pipelines.simulation.stream import simulate_stream
from nilatron.pipelines.wire import Close, Header, encode

__all__ = [
    "EXTRA_FLAGS",
    "SimulationSettings",
    "TruthFiles",
    "ground_truth",
    "simulate",
    "simulate_items",
    "simulate_stream",
    "simulate_to",
    "simulated_header",
    "to_recon_grid",
    "true_coil_maps",
]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TruthFiles:
    """Npy files of what is known of a simulated scan, on the recon grid.

    Attributes
    ----------
    image
        Noise-free images, complex64 (slice, z, y, x).
    coil_maps
        Complex64 (slice, coil, z, y, x).
    """

    image: Path | None = None
    coil_maps: Path | None = None

    def contents(self, settings: SimulationSettings) -> Iterator[tuple[Path, Callable[[], ComplexArray]]]:
        """Files that are wanted, and what makes their arrays.

        Raises
        ------
        InputError
            When a file has another ending.
        """
        for path, of_slice in ((self.image, ground_truth), (self.coil_maps, true_coil_maps)):
            if path is None:
                continue
            if path.suffix.lower() != ".npy":
                raise InputError(f"{path}: expected a file name that ends in .npy")
            yield path, partial(_stack, of_slice, settings)


def simulate(
    path: str | Path,
    settings: SimulationSettings,
    *,
    group: str = "dataset",
    overwrite: bool = False,
    truth: TruthFiles | None = None,
) -> int:
    """Write the scan as an ISMRMRD raw file, and what is known of it, all or nothing.

    Returns
    -------
    Number of lines, noise scan included.

    Raises
    ------
    InputError
        When a file exists (unless `overwrite`), cannot be written, or the settings' image cannot be read.
    OutputError
        When the disk is full, or fails otherwise.
    """
    path = Path(path)
    with ExitStack() as stack:
        _refuse_existing(path, overwrite)
        temporary = stack.enter_context(atomic_path(path))
        _write_truth(truth or TruthFiles(), settings, overwrite, stack)
        with Hdf5Writer(temporary) as writer:
            n_lines = write_raw(writer, group, simulated_header(settings), simulate_stream(settings))
            writer.finish()
    logger.info("%s: %d lines of %d coils", path, n_lines, settings.n_coils)
    return n_lines


def simulate_to(
    file: BinaryIO, settings: SimulationSettings, *, overwrite: bool = False, truth: TruthFiles | None = None
) -> None:
    """Write the scan as a stream of MRD v1, line by line, and what is known of it into files.

    Raises
    ------
    InputError, OutputError
        As `simulate`.
    """
    with ExitStack() as stack:
        _write_truth(truth or TruthFiles(), settings, overwrite, stack)
        header = Header.of(xsd.ToXML(simulated_header(settings)))
        for message in chain((header,), simulate_stream(settings), (Close(),)):
            for part in encode(message):
                file.write(part)


def simulate_items(
    settings: SimulationSettings,
) -> tuple[xsd.ismrmrdHeader, list[ismrmrd.Acquisition | ismrmrd.Waveform]]:
    """Return header and items of the scan in memory, in time order."""
    return simulated_header(settings), list(simulate_stream(settings))


def _refuse_existing(target: Path, overwrite: bool) -> None:
    if target.exists() and not overwrite:
        raise InputError(f"{target}: exists; choose another name or replace it with --overwrite")


def _write_truth(truth: TruthFiles, settings: SimulationSettings, overwrite: bool, stack: ExitStack) -> None:
    """Write the files of what is known; they get their names when the stack is left."""
    arrays = list(truth.contents(settings))
    for target, _ in arrays:
        _refuse_existing(target, overwrite)
    for target, make in arrays:
        stack.enter_context(atomic_path(target)).write_bytes(npy_bytes(make()))


def _stack(of_slice: Callable[[SimulationSettings, int], ComplexArray], settings: SimulationSettings) -> ComplexArray:
    return np.stack([of_slice(settings, index) for index in range(settings.n_slices)])
