"""`nilatron phases`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nilatron.pipelines.cli.app import app, stderr


@app.command()
def phases(
    magnitudes: Annotated[list[Path], typer.Argument(help="Magnitude images: files, or folders of them.")],
    output: Annotated[Path, typer.Argument(help="Folder for the complex images, npy.")],
    weights: Annotated[Path, typer.Option(help="Phase model: a prior trained on complex images.")],
    samples_per_image: Annotated[int, typer.Option(min=1, help="Phases of each image.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Of all phases.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Give magnitude images phases that a model of complex images draws, for `nilatron train`."""
    from nilatron.pipelines.progress import Bar
    from nilatron.pipelines.training.phases import PhaseJob, write_phases

    with Bar(stderr) as bar:
        job = PhaseJob(tuple(magnitudes), output, weights, samples_per_image, seed, device)
        n_images = write_phases(job, report=bar.update)
    print(f"{n_images} complex images to {output}")
