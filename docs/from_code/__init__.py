"""Texts that follow from the code, for pages to include: Sphinx calls `write_pages`, the tests the functions.

What the code has and nothing describes is an error, as is a description of something that the code has no more.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from from_code import chains, images, programs

PAGES: dict[str, Callable[[], str]] = {
    "chains": chains.chains,
    "properties": chains.properties,
    "stock_gadgets": chains.stock_gadgets,
    "series": images.series,
    "metadata_keys": images.metadata_keys,
    "exit_codes": programs.exit_codes,
    "node_exit_codes": programs.node_exit_codes,
    "commands": programs.commands,
    "node_environment": programs.node_environment,
    "server_settings": programs.server_settings,
    "metrics": programs.metrics,
    "training_settings": programs.training_settings,
}


def write_pages(folder: Path) -> None:
    """Write every text as Markdown."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in PAGES.items():
        (folder / f"{name}.md").write_text(make())
