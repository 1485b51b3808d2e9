"""`nilatron check`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nilatron.pipelines.cli.app import BAD_INPUT, RECONSTRUCTING, RECONSTRUCTION_FAILED, app, examples, fail, say


@app.command(rich_help_panel=RECONSTRUCTING, epilog=examples("check scan.h5"))
def check(
    raw: Annotated[Path, typer.Argument(help="ISMRMRD raw file.")],
    group: Annotated[str, typer.Option("--group", "-g", help="Group of the file that holds the scan.")] = "dataset",
) -> None:
    """Say what a raw file holds, what would be made of it, and what in it contradicts itself; reconstructs nothing.

    Exit code 0: no contradiction; 2: nothing can be reconstructed; 3: contradictions were found.
    """
    from nilatron.pipelines.check import check_file

    report = check_file(raw, group)
    sections = {
        "holds": report.holds,
        "will be made": report.plan,
        "is left out": report.left_out,
        "contradicts itself": report.contradictions,
    }
    for title, sentences in sections.items():
        say(f"{title}:" if sentences else f"{title}: nothing")
        for sentence in sentences:
            say(f"  {sentence}")
    if report.unusable:
        fail(f"{raw} cannot be reconstructed: {report.unusable}", BAD_INPUT)
    if report.contradictions:
        fail(f"{raw}: {len(report.contradictions)} contradictions", RECONSTRUCTION_FAILED)
