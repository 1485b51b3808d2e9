"""`nilatron export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nilatron.pipelines.cli.app import BAD_INPUT, PRIORS, app, examples, fail, say, say_lines, stderr
from nilatron.pipelines.cli.choices import ExportPrecision

if TYPE_CHECKING:
    from nilatron.pipelines.prior.export import ExportReport


@app.command(
    rich_help_panel=PRIORS, epilog=examples("export -w tiny -o tiny.onnx", "export -o prior.onnx --precision fp16")
)
def export(
    file: Annotated[Path | None, typer.Argument(metavar="[OUT]", help="ONNX file to write, in place of -o.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="ONNX file to write.")] = None,
    weights: Annotated[
        str, typer.Option("--weights", "-w", help="A shipped name (default, tiny) or a file.")
    ] = "default",
    precision: Annotated[
        ExportPrecision, typer.Option(help="Of the convolutions; fp16 is for GPUs.")
    ] = ExportPrecision.FP32,
    tensorrt: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[S*]YxX",
            help="Also build the TensorRT engine for S images of Y x X, which --engine tensorrt takes with fp16; repeatable.",
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace the file if it exists.")] = False,
) -> None:
    """Write the prior as ONNX and check it against torch at every noise level and three matrix sizes."""
    from nilatron.core.prior.weights import find_weights
    from nilatron.pipelines.prior.export import ExportSettings, build_tensorrt, check_tensorrt
    from nilatron.pipelines.prior.export import export as run
    from nilatron.pipelines.progress import Bar

    sizes = [parse_size(text) for text in tensorrt or []]
    if (output is None) == (file is None):
        fail("give one ONNX file to write: -o OUT", BAD_INPUT)
    target = Path(output or file or "")
    settings = ExportSettings(target, find_weights(weights), precision.value, overwrite)
    if sizes:
        check_tensorrt()  # before the export, which takes long
    with Bar(stderr) as bar:
        report = run(settings, bar.update)
    say_lines(table(report))
    if sizes:
        with Bar(stderr) as bar:
            build_tensorrt(settings.weights, precision.value, sizes, bar.update)
    say(f"{target}: {len(report.model.content)} bytes, sha256 {report.model.sha256}")


def table(report: ExportReport) -> str:
    """Table of relative errors with a row for each noise level and a column for each matrix size."""
    from nilatron.pipelines.prior.export import SIGMAS

    names = [agreement.name for agreement in report.agreements]
    rows = [["sigma", *names]]
    rows += [
        [f"{sigma:.3f}", *(f"{agreement.errors[k]:.1e}" for agreement in report.agreements)]
        for k, sigma in enumerate(SIGMAS)
    ]
    rows.append(["worst", *(f"{agreement.worst:.1e}" for agreement in report.agreements)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    head = f"Relative error |D - D torch| / |D torch|, at most {report.limit:g} allowed:"
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join([head, *lines])


def parse_size(text: str) -> tuple[int, int, int]:
    """Number of images and matrix size (S, y, x) from a text YxX or S*YxX."""
    n, _, matrix = text.rpartition("*")
    parts = [n or "1", *matrix.split("x")]
    if len(parts) != 3 or not all(part.isdecimal() and int(part) > 0 for part in parts):
        fail(f"--tensorrt expects a size such as 256x256, or 8*256x256 for 8 images at a time, got {text!r}", BAD_INPUT)
    n_images, n_y, n_x = map(int, parts)
    return n_images, n_y, n_x
