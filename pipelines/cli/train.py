"""`nilatron train`. Exit code 5: stopped by SIGTERM or Ctrl-C before the last step; `--resume` continues."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nilatron.pipelines.cli.app import PRIORS, app, examples, say, say_lines
from nilatron.pipelines.cli.choices import Architecture, Device

if TYPE_CHECKING:
    from nilatron.pipelines.training.checkpoint import Checkpoint
    from nilatron.pipelines.training.settings import TrainSettings
    from nilatron.pipelines.training.stop import StopCondition

STOPPED_EARLY = 5


@app.command(
    rich_help_panel=PRIORS,
    epilog=examples("train images -o prior --minutes 30", "train images -o prior --resume", "train --show-config"),
)
def train(
    paths: Annotated[list[Path] | None, typer.Argument(metavar="IMAGES", help="Images, or folders of them.")] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Folder for checkpoint, weights and logs; by default the last of the paths."
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue from the checkpoint in the output folder.")
    ] = False,
    minutes: Annotated[float | None, typer.Option(min=0.0, help="Stop after this time, with a checkpoint.")] = None,
    validation: Annotated[list[Path] | None, typer.Option(help="Images, or a folder, to measure the error on.")] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file of settings; options go before it.")] = None,
    assignment: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Any setting, e.g. augment.shading=0.2.")
    ] = None,
    show_config: Annotated[bool, typer.Option("--show-config", help="Print all settings as TOML and stop.")] = False,
    architecture: Annotated[Architecture | None, typer.Option(help="Of the network.")] = None,
    start: Annotated[str | None, typer.Option(help="Weights to start from: a file, default or tiny.")] = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser steps.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Patches of the smallest size in a step.")] = None,
    scans: Annotated[int | None, typer.Option(help="Simulated scans that are reconstructed in a step.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of weights, patches and noise.")] = None,
    data: Annotated[str | None, typer.Option(help="What the images are, for the weights' metadata.")] = None,
    licence: Annotated[str | None, typer.Option(help="Of the weights, for their metadata.")] = None,
    device: Annotated[Device | None, typer.Option(help="Where to compute.")] = None,
    devices: Annotated[int | None, typer.Option(help="GPUs (or CPU processes) a node.")] = None,
    nodes: Annotated[int | None, typer.Option(help="Nodes; start the command on each with SLURM or torchrun.")] = None,
) -> None:
    """Train a prior from magnitude or complex images."""
    from nilatron.pipelines.training.stop import StopCondition

    watch = StopCondition(minutes)  # before the imports, which take time
    from nilatron.pipelines.training.checkpoint import check_new_folder, read_checkpoint
    from nilatron.pipelines.training.config import to_toml
    from nilatron.pipelines.training.settings import TrainingError, TrainSettings

    images = list(paths or [])
    if output is None and images:
        output = images.pop()
    checkpoint = read_checkpoint(output) if resume and output else None
    flags: dict[str, object] = {
        "architecture": None if architecture is None else architecture.value,
        "start": start,
        "steps": steps,
        "seed": seed,
        "batch_size": batch_size,
    }
    flags |= {"learning_rate": learning_rate, "data": data, "licence": licence}
    flags["scans"] = {"per_step": scans}
    flags["compute"] = {"device": None if device is None else device.value, "devices": devices, "nodes": nodes}
    base = checkpoint.settings if checkpoint else TrainSettings()
    settings = _chosen(base, config, assignment or [], flags)
    if show_config:
        say_lines(to_toml(settings).removesuffix("\n"))
        return
    if not images or output is None:
        raise TrainingError("give images and an output folder: nilatron train IMAGES... -o OUT")
    if not checkpoint:
        check_new_folder(output)
    _run(settings, images, output, validation or [], checkpoint, watch)


def _chosen(
    base: TrainSettings, config: Path | None, assignments: list[str], flags: Mapping[str, object]
) -> TrainSettings:
    """Settings from `base`, overridden by the file, then by the assignments, then by the flags that were given."""
    from nilatron.pipelines.training.config import merge, parse_assignments, read_toml

    settings = merge(base, read_toml(config), str(config)) if config else base
    settings = merge(settings, parse_assignments(assignments), "--set")
    return merge(settings, _given(flags), "command line")


def _given(flags: Mapping[str, object]) -> dict[str, object]:
    """The flags that were given on the command line."""
    nested = {name: _given(value) if isinstance(value, Mapping) else value for name, value in flags.items()}
    return {name: value for name, value in nested.items() if value is not None}


def _run(
    settings: TrainSettings,
    images: list[Path],
    output: Path,
    validation: list[Path],
    checkpoint: Checkpoint | None,
    watch: StopCondition,
) -> None:
    """Train in this process, and in others if the settings ask for several devices."""
    from nilatron.pipelines.training.images import load_images
    from nilatron.pipelines.training.processes import launch
    from nilatron.pipelines.training.settings import check_resumable
    from nilatron.pipelines.training.train import WEIGHTS_NAME, Trainer

    if checkpoint:
        check_resumable(checkpoint.settings, settings)
    fabric = launch(settings)
    logging.getLogger("nilatron").setLevel(logging.INFO if fabric.is_global_zero else logging.ERROR)
    held_out = load_images(validation) if validation else []
    trainer = Trainer(load_images(images), settings, output, fabric, held_out=held_out, checkpoint=checkpoint)
    done = trainer.run(watch)
    if not fabric.is_global_zero:
        return  # only the first process reports
    for sigma, error in trainer.errors.items():
        say(f"error per real component at complex noise level {sigma:g}: {error:.5f}")
    say(f"weights: {output / WEIGHTS_NAME}")
    if not done:
        say(f"stopped after step {trainer.step} of {settings.steps}: --resume goes on")
        if not watch.is_out_of_time:
            raise typer.Exit(STOPPED_EARLY)
