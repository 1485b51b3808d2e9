"""What a message becomes in memory, where neither ismrmrd nor the stock gadgets have a class for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self, TypeAlias

import ismrmrd
import numpy as np
import numpy.typing as npt

from nilatron.core.words import shown
from nilatron.gadgets.stock.types import AcquisitionBucket, ReconData


@dataclass(frozen=True)
class ConfigName:
    """A chain asked for by its name, UTF-8, at most 1023 bytes."""

    name: str


@dataclass(frozen=True)
class _Document:
    """Bytes as they came; some senders end them with NUL."""

    content: bytes

    @classmethod
    def of(cls, text: str) -> Self:
        """Make it from text, UTF-8 without NUL."""
        return cls(text.encode())

    @property
    def stripped(self) -> bytes:
        """Without the NULs at the end."""
        return self.content.rstrip(b"\0")

    @property
    def text(self) -> str:
        """As text; what is not UTF-8 becomes the replacement character."""
        return self.stripped.decode(errors="replace")


@dataclass(frozen=True)
class Config(_Document):
    """A chain, or the settings of a node, as XML."""


@dataclass(frozen=True)
class Header(_Document):
    """The ISMRMRD header, as XML; `pipelines.header.parse_header` understands its `content`."""


@dataclass(frozen=True)
class Text(_Document):
    """Something to show to the user; servers report their errors so."""


@dataclass(frozen=True)
class Error(_Document):
    """Why a node failed."""

    @classmethod
    def of(cls, text: str) -> Self:
        """Make it from text, in which everything that is not printed is escaped: the other end logs it."""
        return cls(shown(text).encode())


@dataclass(frozen=True)
class Query(_Document):
    """A question to the server; the response bears the same correlation id."""

    correlation_id: int = 0
    reserved: int = 0


@dataclass(frozen=True)
class Response(_Document):
    """The answer to the query of this correlation id."""

    correlation_id: int = 0


@dataclass(frozen=True)
class Dicom:
    """A DICOM file with its name and its attributes, raw."""

    content: bytes
    name: bytes = b""
    attributes: bytes = b""


@dataclass(frozen=True)
class Close:
    """The end of what one side has to say."""


@dataclass(frozen=True)
class ImageArray:
    """Images of one reconstruction.

    The attribute names are those of the PyPI package `gadgetron`.

    Attributes
    ----------
    data
        Complex64 (X, Y, Z, CHA, N, S, LOC), Fortran order.
    headers
        Structured (`structures.IMAGE_HEADER`), (N, S, LOC), Fortran order.
    meta
        Attributes of the images, XML, raw.
    waveform
        None where the sender left them out.
    acq_headers
        Structured (`structures.ACQUISITION_HEADER`), (Y, Z, N, S, LOC), Fortran order; None where the sender left them out.
    """

    data: npt.NDArray[np.complex64]
    headers: npt.NDArray[np.void]
    meta: list[bytes] = field(default_factory=list)
    waveform: list[ismrmrd.Waveform] | None = None
    acq_headers: npt.NDArray[np.void] | None = None


Item: TypeAlias = ismrmrd.Acquisition | ismrmrd.Waveform | ismrmrd.Image | AcquisitionBucket | ReconData | ImageArray
Message: TypeAlias = Any  # an Item or one of the classes above; ismrmrd's classes have no types
