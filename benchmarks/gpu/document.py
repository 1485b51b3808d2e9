"""The report of a run: report.json for programs and report.md to read, whole after every section."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpu.sections import Ended, Section
from nilatron.pipelines.files.atomic import atomic_path
from report import Cell, markdown, write_json

UNFINISHED = ("failed", "stopped", "not begun")


@dataclass
class Document:
    """What is known by now, in `folder`.

    Attributes
    ----------
    folder
        Of the report.
    facts
        Of the whole run: commit, command, device, size.
    installation
        What was installed before it, and what could not be: name, outcome, seconds, why.
    spent_s
        Before the first section.
    """

    folder: Path
    facts: dict[str, str]
    installation: Sequence[dict[str, Any]] = ()
    spent_s: float = 0.0
    sections: dict[Section, Ended] = field(default_factory=dict)
    began: float = field(default_factory=time.time)

    def add(self, section: Section, ended: Ended) -> None:
        """One more section."""
        self.sections[section] = ended
        self.write()

    @property
    def bars(self) -> list[dict[str, Any]]:
        """Of all sections."""
        return [
            {"section": section.name, **bar}
            for section, ended in self.sections.items()
            for bar in ended.found.get("bars", ())
        ]

    @property
    def absent(self) -> dict[str, str]:
        """What this machine or installation lacks."""
        missing = {step["name"]: step["why"] for step in self.installation if step["outcome"] != "done"}
        for ended in self.sections.values():
            missing |= ended.found.get("absent", {})
        return missing

    @property
    def passed(self) -> bool:
        """Whether all sections came to their end and all bars are reached."""
        return bool(self.sections) and all(bar["passed"] for bar in self.bars) and not self.unfinished

    @property
    def unfinished(self) -> list[Section]:
        """Sections that failed, were stopped or did not begin."""
        return [section for section, ended in self.sections.items() if ended.outcome in UNFINISHED]

    def write(self) -> None:
        """Both files."""
        content = {
            "facts": self.facts,
            "passed": self.passed,
            "seconds": self.spent_s + time.time() - self.began,
            "bars": self.bars,
            "absent": self.absent,
            "installation": list(self.installation),
            "sections": {
                section.name: {"outcome": ended.outcome, "seconds": ended.seconds, "why": ended.why, **ended.found}
                for section, ended in self.sections.items()
            },
        }
        write_json(self.folder / "report.json", content)
        with atomic_path(self.folder / "report.md") as temporary:
            temporary.write_text(self.markdown())

    def markdown(self) -> str:
        """Verdict, bars, what is absent, how the sections ended; then their tables."""
        parts = ["# GPU report", self.verdict(), *self._facts(), *self._bars(), *self._absent(), *self._outcomes()]
        for section, ended in self.sections.items():
            parts += _section(section, ended)
        return "\n\n".join(parts) + "\n"

    def verdict(self) -> str:
        """One sentence."""
        failed = [bar for bar in self.bars if not bar["passed"]]
        said = [f"{len(failed)} of {len(self.bars)} bars FAILED" if failed else f"all {len(self.bars)} bars passed"]
        if self.unfinished:
            said.append(", ".join(f"{s.name} {self.sections[s].outcome.upper()}" for s in self.unfinished))
        if self.absent:
            said.append(f"absent, so left out: {'; '.join(self.absent)}")
        return f"**{'Passed' if self.passed else 'NOT passed'}**: {'; '.join(said)}."

    def _facts(self) -> Iterator[str]:
        facts = {**self.facts, "seconds": f"{self.spent_s + time.time() - self.began:.0f}"}
        yield "\n".join(f"- {name}: {value}" for name, value in facts.items())

    def _bars(self) -> Iterator[str]:
        rows: list[dict[str, Cell]] = [
            {
                "": "passed" if bar["passed"] else "**FAILED**",
                "section": bar["section"],
                "bar": _cell(bar["what"]),
                "found": "-" if bar["found"] is None else f"{bar['found']:.3g} {bar['unit']}".strip(),
                "at most": f"{bar['limit']:g} {bar['unit']}".strip(),
            }
            for bar in sorted(self.bars, key=lambda bar: bool(bar["passed"]))
        ]
        if rows:
            yield f"## Bars\n\n{markdown(rows)}"

    def _absent(self) -> Iterator[str]:
        if self.absent:
            lines = "\n".join(f"- {what}: {why}" for what, why in self.absent.items())
            yield f"## Absent\n\n{lines}"

    def _outcomes(self) -> Iterator[str]:
        rows: list[dict[str, Cell]] = [
            {"": f"installing {step['name']}", "outcome": step["outcome"], "seconds": _cell(step["seconds"]), "why": ""}
            for step in self.installation
        ]
        for section, ended in self.sections.items():
            outcome = ended.outcome.upper() if ended.outcome in UNFINISHED else ended.outcome
            rows.append(
                {"": section.name, "outcome": outcome, "seconds": f"{ended.seconds:.1f}", "why": _cell(ended.why)}
            )
        if rows:
            yield f"## Sections\n\n{markdown(rows)}"


def _section(section: Section, ended: Ended) -> Iterator[str]:
    """Its tables and notes; nothing where it found none."""
    tables, notes = ended.found.get("tables", {}), ended.found.get("notes", ())
    if tables or notes:
        yield f"## {section.title}"
    for title, rows in tables.items():
        yield f"### {title}\n\n{markdown([{k: _cell(v) for k, v in row.items()} for row in rows])}"
    if notes:
        yield "\n".join(f"- {note}" for note in notes)


def _cell(value: Cell) -> Cell:
    """Text that breaks no table; four digits of a number."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return value.replace("|", "/").replace("\n", " ") if isinstance(value, str) else value
