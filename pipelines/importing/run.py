"""Import of a file: its k-space as an ISMRMRD raw file, and the reference beside it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from nilatron.pipelines.files.atomic import InputError, atomic_path
from nilatron.pipelines.files.disk import npy_bytes
from nilatron.pipelines.files.hdf5.writer import Hdf5Writer
from nilatron.pipelines.files.raw_writer import write_raw
from nilatron.pipelines.importing.arrays import read_bart, read_numpy
from nilatron.pipelines.importing.hdf5 import open_layout
from nilatron.pipelines.importing.header import Geometry, header_of
from nilatron.pipelines.importing.kspace import Kspace
from nilatron.pipelines.importing.lines import lines_of
from nilatron.pipelines.importing.sampling import sampling_of

log = logging.getLogger(__name__)

HDF5_ENDINGS = (".h5", ".hdf5", ".hdf", ".mrd")


@dataclass(frozen=True)
class ImportSettings:
    """What to import.

    Attributes
    ----------
    source, output
        File to read, and ISMRMRD raw file to write.
    order, shape
        Names of the axes of an array, and what its shape must be; empty: as the file has it.
    geometry
        Where the file does not state it, or what it states is not to be used.
    overwrite
        Whether files may be replaced.
    """

    source: Path
    output: Path
    order: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()
    geometry: Geometry | None = None
    overwrite: bool = False

    @property
    def reference(self) -> Path:
        """Where the reference goes, if there is one."""
        return self.output.with_name(f"{self.output.stem}_reference.npy")


@dataclass(frozen=True)
class ImportReport:
    """What was imported.

    Attributes
    ----------
    n_lines, n_slices, n_coils
        Of the raw file.
    acceleration
        Along y and z.
    reference
        File of the reference images (slice, z, y, x); None where the source has none.
    """

    n_lines: int
    n_slices: int
    n_coils: int
    acceleration: tuple[int, int]
    reference: Path | None


def import_file(settings: ImportSettings) -> ImportReport:
    """Write the raw file, and the reference where there is one, all or nothing.

    Raises
    ------
    InputError
        When the source has another layout than it should, or a file may not be written.
    OutputError
        When the disk is full, or fails otherwise.
    """
    with ExitStack() as stack:
        kspace = open_source(settings, stack)
        targets = [settings.output, *([settings.reference] if kspace.reference is not None else [])]
        for target in targets:
            if target.exists() and target.samefile(settings.source):
                raise InputError(f"{target} is the file that is read: give another file for the raw data")
            if target.exists() and not settings.overwrite:
                raise InputError(f"{target}: exists; choose another name or replace it with --overwrite")
        with _named(settings.source):
            sampling = sampling_of(kspace)
            header = header_of(kspace, sampling, settings.geometry)
        temporary = stack.enter_context(atomic_path(settings.output))
        if kspace.reference is not None:
            stack.enter_context(atomic_path(settings.reference)).write_bytes(npy_bytes(kspace.reference))
        distance_mm = float(header.encoding[0].reconSpace.fieldOfView_mm.z)
        with Hdf5Writer(temporary) as writer, _named(settings.source):
            n_lines = write_raw(writer, "dataset", header, lines_of(kspace, sampling, distance_mm))
            writer.finish()
    return ImportReport(
        n_lines,
        kspace.n_slices,
        kspace.shape[0],
        (sampling.acceleration(1), sampling.acceleration(0)),
        settings.reference if kspace.reference is not None else None,
    )


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Block whose errors name the file that is read."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def open_source(settings: ImportSettings, stack: ExitStack) -> Kspace:
    """The k-space of a source, by the ending of its name.

    Raises
    ------
    InputError
        When it is not there, or has another layout than it should.
    """
    path, ending = settings.source, settings.source.suffix.lower()
    if ending in (".cfl", ".hdr") or (not ending and path.with_suffix(".cfl").exists()):
        return read_bart(path, settings.order, settings.shape)
    if not path.is_file():
        raise InputError(f"{path}: {'is not a file' if path.exists() else 'no such file'}")
    if ending == ".npy":
        return read_numpy(path, settings.order, settings.shape)
    if ending not in HDF5_ENDINGS:
        raise InputError(f"{path}: expected HDF5 (fastMRI, M4Raw: {', '.join(HDF5_ENDINGS)}), .cfl or .npy")
    if settings.order or settings.shape:
        raise InputError(f"{path}: --order and --shape are for .cfl and .npy; this layout has fixed axes")
    file, kspace = open_layout(path)
    stack.enter_context(file)
    return kspace
