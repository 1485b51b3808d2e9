"""What the commands that reconstruct have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nilatron.pipelines.cli.app import BAD_INPUT, fail
from nilatron.pipelines.cli.choices import Device

FILES, MEANS = "Files", "Reconstruction"  # panels of the help

ChainOption = Annotated[
    str, typer.Option("--config", "-c", help="Chain: a shipped name or an XML file.", rich_help_panel=MEANS)
]
GroupOption = Annotated[str, typer.Option("--group", "-g", help="Group of the raw data.", rich_help_panel=FILES)]
PropertiesOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Property of our node; repeatable.", rich_help_panel=MEANS),
]
NoiseStoreOption = Annotated[
    Path | None,
    typer.Option(
        help="Folder that keeps noise measurements, and has them for the scans that depend on them.",
        rich_help_panel=FILES,
    ),
]
SeedOption = Annotated[int, typer.Option(min=0, help="Of all randomness.", rich_help_panel=MEANS)]
DeviceOption = Annotated[Device, typer.Option(help="Where to compute.", rich_help_panel=MEANS)]
WeightsOption = Annotated[
    str,
    typer.Option(
        "--weights", "-w", help="Weights of the prior: a shipped name (default, tiny) or a file.", rich_help_panel=MEANS
    ),
]


def parse_properties(texts: list[str]) -> dict[str, str]:
    """Dictionary of the properties in texts NAME=VALUE."""
    properties = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or not name.strip():
            fail(f"--set expects NAME=VALUE, got {text!r}", BAD_INPUT)
        properties[name.strip()] = value
    return properties
