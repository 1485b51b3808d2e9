"""Unique identifiers of DICOM objects: 2.25.n, n = the first 128 bits of a SHA-256 over what an object was made from."""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import ismrmrd
import numpy as np

from nilatron import __version__
from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.wire.received_image import parse_attributes

UID_ROOT = "2.25."  # root of identifiers made from a UUID, which needs no registration
UID_FORM = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))+")
MAX_UID = 64
IMPLEMENTATION_UID, IMPLEMENTATION_NAME = "2.25.284153964893206804582681275978441507730", "NILATRON"
VOLATILE = ("nilatron_seconds",)  # metadata that differ between two runs that give the same image


@dataclass(frozen=True)
class RunIdentity:
    """What a run is made from; runs that differ in anything of it share no series and no image.

    Attributes
    ----------
    raw_sha256
        Of the raw file.
    facts
        Everything else by name: chain, settings, weights, seed.
    """

    raw_sha256: str
    facts: Mapping[str, str]

    @property
    def text(self) -> str:
        """All of it, and our version, as one text."""
        return json.dumps([self.raw_sha256, __version__, sorted(self.facts.items())])


def uid(*parts: str) -> str:
    """Identifier that follows from the parts and from nothing else."""
    digest = hashlib.sha256(json.dumps(parts).encode()).digest()
    return UID_ROOT + str(uuid.UUID(bytes=digest[:16], version=5).int)


def is_uid(text: str) -> bool:
    """Whether the text is a DICOM unique identifier."""
    return len(text) <= MAX_UID and UID_FORM.fullmatch(text) is not None


def checked_uid(text: str) -> str:
    """The identifier, if it is one.

    Raises
    ------
    InputError
        When it is not.
    """
    if not is_uid(text):
        raise InputError(f"expected a DICOM UID such as 1.2.840.1, at most {MAX_UID} digits and dots, got {text!r}")
    return text


def file_sha256(path: Path) -> str:
    """SHA-256 of a file; "none" where it cannot be read, which whoever needs it reports.

    A raw file counts as a whole, so that no line of it is left out.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return "none"


def image_digest(image: ismrmrd.Image) -> str:
    """SHA-256 of an image: head, metadata, pixels."""
    meta = parse_attributes(image.attribute_string.encode())
    lasting = sorted((name, value) for name, value in meta.items() if name not in VOLATILE)
    digest = hashlib.sha256(json.dumps(lasting).encode())
    digest.update(bytes(image.getHead()))
    digest.update(np.ascontiguousarray(image.data).tobytes())
    return digest.hexdigest()
