"""`nilatron import`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from nilatron.core.words import counted
from nilatron.pipelines.cli.app import BAD_INPUT, RECONSTRUCTING, app, examples, fail, say

Number = TypeVar("Number", int, float)


@app.command(
    "import",
    rich_help_panel=RECONSTRUCTING,
    epilog=examples(
        "import file_brain_AXT2_200_2000001.h5 -o scan.h5",
        "import kspace.cfl -o scan.h5 --fov 220,220,5",
        "import kspace.npy -o scan.h5 --order slice,coil,y,x --fov 220,220,5 --oversampling 2",
    ),
)
def import_(
    source: Annotated[Path, typer.Argument(help="HDF5 of fastMRI or M4Raw (multicoil), BART's .cfl/.hdr, or .npy.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="ISMRMRD raw file to write.")],
    order: Annotated[
        str | None,
        typer.Option(
            metavar="AXIS,AXIS,...", help="Axes of an array, of slice, coil, z, y, x; x is the readout (.npy, .cfl)."
        ),
    ] = None,
    shape: Annotated[
        str | None, typer.Option(metavar="N,N,...", help="What the array's shape must be (.npy, .cfl).")
    ] = None,
    fov: Annotated[
        str | None,
        typer.Option(
            metavar="X,Y,Z",
            help="Field of view of the images in mm, z the distance of slices in 2D; needed where the file has no header, and "
            "used in place of that of the header.",
        ),
    ] = None,
    oversampling: Annotated[float, typer.Option(min=1.0, help="Of the readout; with --fov.")] = 1.0,
    overwrite: Annotated[bool, typer.Option(help="Replace files that exist.")] = False,
) -> None:
    """Write k-space of a public data set, of BART or of NumPy as an ISMRMRD raw file, with the reference beside it."""
    from nilatron.pipelines.importing.header import Geometry
    from nilatron.pipelines.importing.run import ImportSettings, import_file

    if fov is None and oversampling != 1.0:
        fail("--oversampling goes with --fov X,Y,Z", BAD_INPUT)
    axes = tuple(part.strip() for part in order.split(",")) if order else ()
    sizes = numbers_of("--shape", shape, int) if shape else ()
    geometry = None
    if fov is not None:
        values = numbers_of("--fov", fov, float)
        if len(values) != 3:
            fail(f"--fov expects three positive numbers X,Y,Z in mm, got {fov!r}", BAD_INPUT)
        geometry = Geometry((values[0], values[1], values[2]), oversampling)
    report = import_file(ImportSettings(source, output, axes, sizes, geometry, overwrite))
    factors = " x ".join(str(factor) for factor in report.acceleration if factor > 1)
    what = f"{counted(report.n_slices, 'slice')}, {counted(report.n_coils, 'coil')}"
    say(f"{counted(report.n_lines, 'line')} to {output}: {what}{f', acceleration {factors}' if factors else ''}")
    if report.reference is not None:
        say(f"reference images to {report.reference}")


def numbers_of(option: str, text: str, kind: Callable[[str], Number]) -> tuple[Number, ...]:
    """Positive numbers, separated by commas."""
    try:
        values = tuple(kind(part) for part in text.split(","))
    except ValueError:
        values = ()
    if not values or not all(0 < value < 1e6 for value in values):
        fail(f"{option} expects positive numbers, separated by commas, got {text!r}", BAD_INPUT)
    return values
