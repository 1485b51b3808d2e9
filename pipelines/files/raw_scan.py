"""A scan that lies somewhere as a whole, whatever the format."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol, Self

import numpy.typing as npt


class RawScan(Protocol):
    """A recorded scan: a raw file (`files.raw.RawFile`) or a stream in a file (`stream.recorded`); a context manager.

    Attributes
    ----------
    path
        File.
    header
        Header as parsed by `files.header.parse_header`.
    header_bytes
        The same as XML.
    """

    path: Path
    header: Any
    header_bytes: bytes

    @property
    def n_acquisitions(self) -> int:
        """Number of lines, including those of a noise scan."""

    def heads(self) -> npt.NDArray[Any]:
        """Heads of all lines: a structured array with the fields of ISMRMRD."""

    def items(self) -> Iterator[Any]:
        """Lines and waveforms in the order of the scan."""

    def close(self) -> None:
        """Close the file."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...
