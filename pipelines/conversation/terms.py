"""What a conversation is told at its beginning, and what it tells at its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import ismrmrd

Outcome: TypeAlias = Literal["complete", "failed", "peer gone"]
ERROR_CHARACTERS = 20_000


@dataclass(frozen=True)
class ConversationSettings:
    """Bounds of one scan.

    Attributes
    ----------
    queue_mib
        Memory for items that were read and wait, in MiB; beyond it the other end has to wait.
    end_s
        Longest wait for the other end to finish, in seconds, when this one has.
    end_mib
        Input that is read and forgotten meanwhile, at most.
    errors_as
        The message that tells of a failure: "error" to a Gadgetron that runs a node, "text" to a client of a server.
    """

    queue_mib: int = 1024
    end_s: float = 30.0
    end_mib: int = 16384
    errors_as: Literal["error", "text"] = "error"


DEFAULT_SETTINGS = ConversationSettings()


@dataclass(frozen=True)
class Opening:
    """How a scan begins: configuration of the node (`<configuration>`) and ISMRMRD header, both as they came."""

    target: str
    configuration: bytes
    header: bytes


@dataclass(frozen=True)
class Report:
    """What came of a scan.

    Attributes
    ----------
    outcome
        "complete"; "failed": the other end was told so; "peer gone": it was lost, and may not have got everything.
    error
        What the other end was told, or should have been; None when all went well.
    n_items, n_images, n_expected
        Items received, images sent, images that the scan should have given.
    peak_queue_bytes
        Largest memory of items that waited.
    seconds
        Of the whole scan; `ready_s` of them until the gadget was ready for the first item.
    counts, problems
        Of the scan's log.
    """

    outcome: Outcome
    error: str | None
    n_items: int
    n_images: int
    n_expected: int
    peak_queue_bytes: int
    seconds: float
    ready_s: float
    counts: Mapping[str, int] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


def is_noise_or_waveform(item: Any) -> bool:
    """Whether no image is to be expected of this item."""
    if isinstance(item, ismrmrd.Acquisition):
        return bool(item.is_flag_set(ismrmrd.ACQ_IS_NOISE_MEASUREMENT))
    return isinstance(item, ismrmrd.Waveform)


def sendable(text: str) -> str:
    """Of a length for people, and without what UTF-8 cannot carry."""
    return text[:ERROR_CHARACTERS].encode(errors="replace").decode()
