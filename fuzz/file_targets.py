"""What reads files, as functions of a path: each returns, or raises the errors that it promises.

Anything else that comes out of them is a finding.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path

from job_targets import (
    batch_estimate,
    batch_of_table,
    batch_record,
    converted,
    imported,
    imported_array,
    imported_as_told,
    imported_pair,
    noise_of,
    streamed,
)

from nilatron.core.errors import BadInputError
from nilatron.core.prior.engines.choose import read_weights
from nilatron.pipelines.archive.study import read_reference
from nilatron.pipelines.chain.checks import chain_problems
from nilatron.pipelines.chain.find import find_chain
from nilatron.pipelines.chain.host import build
from nilatron.pipelines.chain.xml import parse_chain
from nilatron.pipelines.check import check_file
from nilatron.pipelines.cli.sources import read_sources
from nilatron.pipelines.files.images import ImageFile
from nilatron.pipelines.files.raw import open_raw
from nilatron.pipelines.prior.convert_source import SourceSettings, read_source
from nilatron.pipelines.prior.denoise import KINDS, read_image
from nilatron.pipelines.simulation.scanned_object import read_planes
from nilatron.pipelines.training.checkpoint import read_checkpoint_file
from nilatron.pipelines.training.config import merge, read_toml
from nilatron.pipelines.training.images import load_images
from nilatron.pipelines.training.settings import TrainSettings

Target = Callable[[Path], object]


def raw_lines(path: Path) -> None:
    """All lines and waveforms of a raw file."""
    with open_raw(path) as raw:
        raw.heads()
        deque(raw.items(), maxlen=0)


def add_images(path: Path) -> None:
    """An HDF5 file to which images are added; nothing is written."""
    try:
        with ImageFile(path, "added"):
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        return


def configuration(path: Path) -> None:
    """Settings of a training."""
    merge(TrainSettings(), read_toml(path), str(path))


def check_chain(path: Path) -> None:
    """`nilatron configs check`."""
    found = find_chain(str(path))
    chain_problems(found.xml, str(path))


def run_chain(path: Path) -> None:
    """The gadgets of a chain."""
    build(parse_chain(find_chain(str(path)).xml, "own"))


def grey_image(path: Path) -> None:
    """What is denoised and what is scanned in a simulation."""
    if path.suffix not in KINDS:
        return
    for read in (read_image, read_planes):
        try:
            read(path)
        except BadInputError:
            continue


TARGETS: dict[str, tuple[Target, ...]] = {
    "raw": (raw_lines, check_file, add_images, batch_estimate),
    "images": (lambda path: load_images([path]), grey_image),
    "weights": (lambda path: read_weights(path, "cpu"), read_checkpoint_file),
    "network": (
        lambda path: read_weights(path, "cpu"),
        lambda path: read_source(SourceSettings(weights=path)),
    ),
    "toml": (configuration, read_sources),
    "chain": (check_chain, run_chain),
    "dicom": (read_reference,),
    "kspace": (imported, imported_as_told),
    "array": (imported_array,),
    "bart": (imported_pair,),
    "stream": (streamed, converted, noise_of),
    "table": (batch_of_table,),
    "record": (batch_record,),
}


def problem_of(target: Target, path: Path) -> str:
    """What a target says about a file; empty if it takes it.

    Raises
    ------
    Exception
        Any that it does not promise.
    """
    try:
        target(path)
    except BadInputError as error:
        return str(error) or "no words"
    return ""
