"""Settings in TOML."""

from __future__ import annotations

from pathlib import Path

from hostile.entering import hostile


@hostile("toml")
def settings_that_nest(folder: Path) -> Path:
    path = folder / "s.toml"
    path.write_text("a = " + "[" * 20_000 + "]" * 20_000)
    return path


@hostile("toml")
def settings_with_a_long_number(folder: Path) -> Path:
    path = folder / "s.toml"
    path.write_text("steps = " + "9" * 100_000)
    return path


@hostile("toml")
def settings_of_dotted_names(folder: Path) -> Path:
    path = folder / "s.toml"
    path.write_text(".".join(["a"] * 20_000) + " = 1")
    return path
