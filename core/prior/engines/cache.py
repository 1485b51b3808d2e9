"""Interface of a cache for models and engines that take long to build; the caller of an engine chooses the cache."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


class ModelCache(Protocol):
    """A store of bytes by kind and key.

    The cache checks that an entry is undamaged; the reader checks that it is the right one.
    """

    def read(self, kind: str, key: Mapping[str, str]) -> bytes | None:
        """The bytes stored under `key`; None if there are none or they are damaged."""

    def write(self, kind: str, key: Mapping[str, str], content: bytes) -> None:
        """Store `content`; a failure to store it is no error."""


@dataclass(frozen=True)
class NoCache:
    """A cache that stores nothing."""

    def read(self, kind: str, key: Mapping[str, str]) -> bytes | None:  # noqa: ARG002 - parameters of the protocol
        """None: there is never an entry."""
        return None

    def write(self, kind: str, key: Mapping[str, str], content: bytes) -> None:
        """Discard `content`."""
