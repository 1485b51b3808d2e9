"""The sections of a run, without importing any of them, in the order of their worth: time may run out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Section:
    """A part of the report, measured in a process of its own.

    Attributes
    ----------
    name, title
        On the command line; in the report.
    module
        Whose `measure(found, device, size)` makes it.
    limit_s
        After which it is stopped.
    least_s
        It is not begun with less time left.
    """

    name: str
    title: str
    module: str
    limit_s: float
    least_s: float = 15.0


@dataclass(frozen=True)
class Ended:
    """How a section ended.

    Attributes
    ----------
    outcome
        "done", "failed", "stopped" (it took too long) or "not begun" (no time was left).
    seconds
        That it took.
    why
        Of what did not come to its end.
    found
        As `Findings.save` wrote it; of a section that did not end, what it had until then.
    """

    outcome: str
    seconds: float
    why: str = ""
    found: dict[str, Any] = field(default_factory=dict)


SECTIONS = (
    Section("environment", "Environment", "gpu.environment", 45, 5),
    Section("agreement", "Agreement of the libraries", "gpu.agreement", 120),
    Section("speed", "Speed", "gpu.speed", 120),
    Section("tests", "Tests that need a GPU", "gpu.gpu_tests", 120),
    Section("batches", "Batches", "gpu.batches", 75),
    Section("floors", "Floors", "gpu.floors", 60),
    Section("engines", "Engines", "gpu.engines", 180, 30),
)
BY_NAME = {section.name: section for section in SECTIONS}
