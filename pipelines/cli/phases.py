"""`nilatron phases`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nilatron.core.words import counted
from nilatron.pipelines.cli.app import PRIORS, app, examples, output_of, say, stderr
from nilatron.pipelines.cli.choices import Device


@app.command(rich_help_panel=PRIORS, epilog=examples("phases magnitudes -w phase_model.safetensors -o complex_images"))
def phases(
    paths: Annotated[list[Path], typer.Argument(metavar="IMAGES", help="Magnitude images: files, or folders of them.")],
    weights: Annotated[
        str,
        typer.Option(
            "--weights", "-w", help="Phase model, a prior of complex images: a shipped name (default, tiny) or a file."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder for the complex images, npy; by default the last of the paths."),
    ] = None,
    samples_per_image: Annotated[int, typer.Option(min=1, help="Phases of each image.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Of all phases.")] = 0,
    device: Annotated[Device, typer.Option(help="Where to compute.")] = Device.AUTO,
) -> None:
    """Give magnitude images phases that a model of complex images draws, for `nilatron train`."""
    from nilatron.core.prior.weights import find_weights
    from nilatron.pipelines.progress import Bar
    from nilatron.pipelines.training.phases import PhaseJob, write_phases

    images, folder = output_of(paths, output, "images")
    with Bar(stderr) as bar:
        job = PhaseJob(tuple(images), folder, find_weights(weights), samples_per_image, seed, device.value)
        n_images = write_phases(job, report=bar.update)
    say(f"{counted(n_images, 'complex image')} to {folder}")
