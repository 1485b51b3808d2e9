"""`nilatron sample`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nilatron.core.words import counted
from nilatron.pipelines.cli.app import BAD_INPUT, PRIORS, app, examples, fail, say, stderr
from nilatron.pipelines.cli.choices import Device


@app.command(
    rich_help_panel=PRIORS,
    epilog=examples("sample -o volume.h5 --slices 46 --matrix 128,128 --png pictures", "sample -o image.h5 --seed 3"),
)
def sample(
    output: Annotated[Path, typer.Option("--output", "-o", help="HDF5 file of complex images (slice, y, x).")],
    slices: Annotated[int, typer.Option(min=1, help="Slices of a volume; 1: an image.")] = 1,
    matrix: Annotated[str, typer.Option(metavar="Y,X", help="Size in pixels.")] = "128,128",
    spacing: Annotated[float, typer.Option(help="Distance between slices in mm.")] = 3.0,
    steps: Annotated[int, typer.Option(min=2, help="Noise levels of the sampler.")] = 20,
    weights: Annotated[
        str, typer.Option("--weights", "-w", help="A shipped name (default, tiny) or a file.")
    ] = "default",
    png: Annotated[Path | None, typer.Option(help="Folder for a picture of each slice.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of all noise.")] = 0,
    device: Annotated[Device, typer.Option(help="Where to compute.")] = Device.AUTO,
    overwrite: Annotated[bool, typer.Option(help="Replace file and pictures if they exist.")] = False,
) -> None:
    """Draw an image or a coherent volume from a prior, to see what it believes."""
    from nilatron.core.prior.weights import find_weights
    from nilatron.pipelines.device import resolve_device
    from nilatron.pipelines.prior.sample import SampleSettings, check_target, coherence, write_samples
    from nilatron.pipelines.prior.sample import sample as run
    from nilatron.pipelines.progress import Bar

    check_target(output, overwrite=overwrite)
    settings = SampleSettings(
        find_weights(weights),
        n_slices=slices,
        matrix=parse_matrix(matrix),
        spacing_mm=spacing,
        n_steps=steps,
        seed=seed,
        device=resolve_device(device.value),
    )
    with Bar(stderr) as bar:
        drawn = run(settings, lambda done, total: bar.update(done, total, "slice"))
    write_samples(output, drawn, settings, png, overwrite=overwrite)
    say(f"{counted(len(drawn), 'slice')} to {output}: drawn from a prior, no measurement")
    if correlations := coherence(drawn):
        low, mean = min(correlations), sum(correlations) / len(correlations)
        say(f"correlation of neighbouring slices: {mean:.3f} on average, {low:.3f} at least")


def parse_matrix(text: str) -> tuple[int, int]:
    """Two whole numbers with a comma between them."""
    words = text.split(",")
    if len(words) != 2 or not all(word.strip().isdecimal() for word in words):
        fail(f"--matrix expects two whole numbers such as 128,128, got {text!r}", BAD_INPUT)
    return int(words[0]), int(words[1])
