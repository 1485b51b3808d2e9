"""`nilatron train`."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from nilatron.pipelines.cli.app import app


@app.command()
def train(
    images: Annotated[Path, typer.Argument(help="Folder of grey PNG magnitude images.")],
    output: Annotated[Path, typer.Argument(help="Folder for checkpoint and weights.")],
    architecture: Annotated[str, typer.Option(help="tiny, default or large.")] = "default",
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps.")] = 20_000,
    batch_size: Annotated[int, typer.Option(min=1, help="Patches of the smallest size in a step.")] = 8,
    learning_rate: Annotated[float, typer.Option(help="Peak learning rate.")] = 1e-3,
    seed: Annotated[int, typer.Option(min=0, help="Of weights, patches and noise.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    resume: Annotated[bool, typer.Option(help="Continue from the checkpoint in the output folder.")] = False,
    validation: Annotated[Path | None, typer.Option(help="Folder of PNG images to measure the error on.")] = None,
    data: Annotated[str, typer.Option(help="What the images are, for the weights' metadata.")] = "not stated",
    licence: Annotated[str, typer.Option(help="Of the weights, for their metadata.")] = "not stated",
) -> None:
    """Train a prior from magnitude images."""
    from nilatron.pipelines.device import resolve_device
    from nilatron.pipelines.train import Trainer, TrainSettings, error_table, load_magnitudes

    logging.getLogger("nilatron").setLevel(logging.INFO)
    settings = TrainSettings(
        architecture=architecture, steps=steps, batch_size=batch_size, learning_rate=learning_rate, seed=seed
    )
    held_out = load_magnitudes(validation) if validation else []
    trainer = Trainer(
        load_magnitudes(images), settings, output, resolve_device(device), {"data": data, "licence": licence}
    )
    if resume:
        trainer.resume()
    trainer.run()
    if held_out:
        trainer.notes["rmse"] = error_table(trainer.averaged(), held_out)
        trainer.save()
        print(f"error per real component, by complex noise level: {trainer.notes['rmse']}")
    print(f"weights: {output / 'prior.safetensors'}")
