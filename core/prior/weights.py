"""Weights files: safetensors with metadata, never pickles.

A file is read once and checked step by step: sizes before memory is allocated for them, the format before its loader is
called, and a SHA-256 over metadata and tensors before anything is used. Only the loader of a format knows its content.
"""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nilatron.core.errors import BadInputError

if TYPE_CHECKING:  # torch takes seconds to import, and the name of a file can be checked without it
    from torch import Tensor

HASH_KEY = "content_sha256"
FORMATS_WITHOUT_HASH = ("nilatron-edm-1",)  # older formats, whose files may lack the hash
SHIPPED = ("default", "tiny")
DEFAULT_WEIGHTS = Path(__file__).with_name("default.safetensors")

MAX_FILE_BYTES = 512 * 2**20
MAX_HEADER_BYTES = 2**20


class WeightsError(BadInputError):
    """A weights file that is absent, damaged, or not one of ours."""


@dataclass(frozen=True)
class WeightsFile:
    """A file that has been read and whose header is valid JSON; its tensors have not been checked yet.

    Attributes
    ----------
    path
        Path of the file, for messages.
    content
        All bytes of the file.
    metadata
        Texts by name, among them "format".
    tensors
        Entry of each tensor in the header, by name.
    """

    path: Path
    content: bytes
    metadata: dict[str, str]
    tensors: dict[str, Any]

    @property
    def format(self) -> str:
        """Name of the format; empty if the file does not state it."""
        return str(self.metadata.get("format", ""))

    @property
    def sha256(self) -> str:
        """SHA-256 of the whole file."""
        return hashlib.sha256(self.content).hexdigest()

    def load(self) -> dict[str, Tensor]:
        """All tensors, on the CPU.

        Raises
        ------
        WeightsError
            When the bytes do not fit the header or the hash, or a value is not finite.
        """
        import safetensors.torch
        import torch

        try:
            tensors = safetensors.torch.load(self.content)
        except (safetensors.SafetensorError, ValueError, RuntimeError, TypeError) as error:
            raise WeightsError(f"{self.path} is not a readable safetensors file ({error})") from error
        self._check_hash(tensors)
        if not all(bool(torch.isfinite(value).all()) for value in tensors.values()):
            raise WeightsError(
                f"{self.path} holds values that are not finite: train again, or take an earlier checkpoint"
            )
        return tensors

    def _check_hash(self, tensors: Mapping[str, Tensor]) -> None:
        stated = self.metadata.get(HASH_KEY)
        if stated is None and self.format in FORMATS_WITHOUT_HASH:
            return
        if stated is None:
            raise WeightsError(
                f"{self.path}: weights of format {self.format!r} carry {HASH_KEY}, this file has none: copy it again"
            )
        if content_sha256(tensors, self.metadata) != stated:
            raise WeightsError(
                f"{self.path} is damaged: its content does not have the SHA-256 that it states; copy it again"
            )


def read_weights_file(path: Path) -> WeightsFile:
    """The file with its header parsed.

    Raises
    ------
    WeightsError
        When the file cannot be read or is not safetensors.
    """
    content = read_file(path)
    header = _header(path, content)
    metadata = header.pop("__metadata__", {})
    return WeightsFile(path, content, metadata if isinstance(metadata, dict) else {}, header)


def shipped_weights(name: str) -> Path:
    """Path of weights that are shipped with the package.

    Raises
    ------
    WeightsError
        When no weights are shipped under `name`, or this installation lacks the file.
    """
    if name not in SHIPPED:
        raise WeightsError(f"no weights are shipped as {name!r}: choose from {', '.join(SHIPPED)}, or give a file")
    path = Path(__file__).with_name(f"{name}.safetensors")
    if not path.is_file():
        raise WeightsError(f"the weights {name!r} are not in this installation ({path}): install the package again")
    return path


def find_weights(name_or_path: str) -> Path:
    """Path of a weights file, given the name of shipped weights or a path."""
    return shipped_weights(name_or_path) if name_or_path in SHIPPED else Path(name_or_path)


def content_sha256(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """SHA-256 of the metadata without the hash itself, and of the tensors' names, dtypes, shapes and bytes."""
    import torch

    described = {key: value for key, value in metadata.items() if key != HASH_KEY}
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    for name, value in sorted(tensors.items()):
        digest.update(json.dumps([name, str(value.dtype), list(value.shape)]).encode())
        digest.update(value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def read_file(path: Path, what: str = "weights file", command: str = "train") -> bytes:
    """All bytes of a regular file of reasonable size; messages call it `what` and name the `command` that writes it.

    Raises
    ------
    WeightsError
        When the file is absent, too large or not a regular file, or may not be read.
    """
    try:
        status = path.stat()
        if stat.S_ISREG(status.st_mode) and status.st_size <= MAX_FILE_BYTES:
            with path.open("rb") as file:
                return file.read(status.st_size)
    except FileNotFoundError:
        raise WeightsError(f"no {what} at {path}: give one that `nilatron {command}` wrote") from None
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        raise WeightsError(f"the {what} {path} may not be read: {error}") from error
    if not stat.S_ISREG(status.st_mode):
        raise WeightsError(f"no {what} at {path}: it is a folder or no regular file; give the file itself")
    raise WeightsError(
        f"{path} has {status.st_size} bytes, more than the {MAX_FILE_BYTES} that any of our weights have"
    )


def _header(path: Path, content: bytes) -> dict[str, Any]:
    """Header of a safetensors file: 8 bytes with its length, then JSON text of that length."""
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or length > min(MAX_HEADER_BYTES, len(content) - 8):
        why = f"{len(content)} bytes, of which the header would take {length}; at most {MAX_HEADER_BYTES} are read"
        raise WeightsError(f"{path} is not a readable safetensors file ({why})")
    try:
        header = json.loads(content[8 : 8 + length])
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{path} is not a readable safetensors file (its header is no JSON: {error})") from error
    if not isinstance(header, dict):
        raise WeightsError(f"{path} is not a readable safetensors file (its header is no JSON object)")
    return header
