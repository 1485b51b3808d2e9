"""`nilatron demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from nilatron.pipelines.cli.app import RECONSTRUCTING, RECONSTRUCTION_FAILED, app, examples, fail, say, stderr
from nilatron.pipelines.cli.choices import Engine


@app.command(rich_help_panel=RECONSTRUCTING, epilog=examples("demo", "demo pictures --engine onnx"))
def demo(
    folder: Annotated[Path, typer.Argument(help="Where images, picture and raw file go.")] = Path("demo_output"),
    seed: Annotated[int, typer.Option(min=0, help="Of noise and sampler.")] = 0,
    engine: Annotated[Engine | None, typer.Option(help="What computes the network.")] = None,
) -> None:
    """Simulate a noisy accelerated scan, reconstruct it in four ways and compare."""
    from nilatron.pipelines.demo import run_demo

    report = run_demo(folder, seed, stderr, engine=None if engine is None else engine.value)
    Console().print(report.table())
    say(f"picture: {report.picture}")
    if not report.complete:
        fail("not every expected image came back: see the log above", RECONSTRUCTION_FAILED)
