"""Where models and engines that take long to make wait for the next process: whoever starts an engine decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


class ModelCache(Protocol):
    """Bytes by kind and key. Whether they are whole is its own affair; whether they are what they should be, the reader's."""

    def read(self, kind: str, key: Mapping[str, str]) -> bytes | None:
        """The bytes that were kept under `key`; None where there are none, or they are damaged."""

    def write(self, kind: str, key: Mapping[str, str], content: bytes) -> None:
        """Keep `content`; failing to keep it is no error."""


@dataclass(frozen=True)
class NoCache:
    """Keeps nothing."""

    def read(self, kind: str, key: Mapping[str, str]) -> bytes | None:  # noqa: ARG002 - of the protocol
        """None."""
        return None

    def write(self, kind: str, key: Mapping[str, str], content: bytes) -> None:
        """Nothing."""
