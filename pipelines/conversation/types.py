"""Settings, opening and report of a conversation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import ismrmrd

Outcome: TypeAlias = Literal["complete", "failed", "peer gone"]
MAX_ERROR_CHARACTERS = 20_000


@dataclass(frozen=True)
class ConversationSettings:
    """Limits of a conversation.

    Attributes
    ----------
    queue_mib
        Memory in MiB for items that have been read and are queued; when it is full, the peer has to wait.
    end_s
        Longest time in seconds to wait, at the end, for the peer to finish.
    end_mib
        Largest amount of input in MiB that is read and dropped meanwhile.
    errors_as
        Kind of message that reports a failure: "error" for a Gadgetron that runs a node, "text" for a client of a server.
    """

    queue_mib: int = 1024
    end_s: float = 30.0
    end_mib: int = 16384
    errors_as: Literal["error", "text"] = "error"


DEFAULT_SETTINGS = ConversationSettings()


@dataclass(frozen=True)
class Opening:
    """Beginning of a scan: the node's target, its `<configuration>` and the ISMRMRD header, both as received."""

    target: str
    configuration: bytes
    header: bytes


@dataclass(frozen=True)
class Report:
    """Report of a finished conversation.

    Attributes
    ----------
    outcome
        "complete"; "failed": the peer has received an error; "peer gone": the peer was lost and may not have received all.
    error
        The error that was sent, or should have been sent; None after success.
    n_items, n_images, n_expected
        Number of items received, of images sent, and of images that the scan should have given.
    peak_queue_bytes
        Largest memory of queued items.
    seconds, ready_s
        Duration of the scan, and the time until the gadget was ready for the first item.
    counts, problems
        Counts and problems of the scan's log.
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
    """Whether the item is a noise line or waveform, from which no image is made."""
    if isinstance(item, ismrmrd.Acquisition):
        return bool(item.is_flag_set(ismrmrd.ACQ_IS_NOISE_MEASUREMENT))
    return isinstance(item, ismrmrd.Waveform)


def sendable(text: str) -> str:
    """The text, shortened to a readable length, without characters that UTF-8 cannot encode."""
    return text[:MAX_ERROR_CHARACTERS].encode(errors="replace").decode()
