"""The format of a stream, by its first bytes."""

from __future__ import annotations

from enum import StrEnum
from io import BufferedIOBase
from pathlib import Path

from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.mrd2.protocol import MAGIC
from nilatron.pipelines.wire.structures import MessageId

HDF5 = b"\x89HDF\r"
N_BYTES = len(MAGIC)


class Format(StrEnum):
    """Format of a stream or file."""

    MRD1 = "MRD v1"
    MRD2 = "MRD v2"
    HDF5 = "HDF5"


def format_of(begin: bytes, name: str) -> Format:
    """The format that the first bytes of a stream are of.

    Raises
    ------
    InputError
        When they are of none.
    """
    if begin == MAGIC:
        return Format.MRD2
    if begin == HDF5:
        return Format.HDF5
    if len(begin) >= 2 and int.from_bytes(begin[:2], "little") in set(MessageId):
        return Format.MRD1
    found = f"it begins with {begin!r}" if begin else "it is empty"
    raise InputError(f"{name}: neither an MRD v1 nor an MRD v2 stream: {found}")


def first_bytes(file: BufferedIOBase) -> bytes:
    """The first bytes of a stream; fewer where it ends before."""
    return file.read(N_BYTES)


def format_of_file(path: Path) -> Format | None:
    """The format of a file; None where it has none that is known, or cannot be read."""
    try:
        with path.open("rb") as file:
            return format_of(first_bytes(file), str(path))
    except (OSError, InputError):
        return None
