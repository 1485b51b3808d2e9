"""`nilatron convert`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nilatron.pipelines.cli.app import BAD_INPUT, PRIORS, app, examples, fail, say, say_lines
from nilatron.pipelines.cli.choices import Architecture, Convention, NoiseNumber


@app.command(
    rich_help_panel=PRIORS,
    epilog=examples("convert -w foreign.onnx -o own.onnx --convention edm --licence CC-BY-4.0 --check images"),
)
def convert(
    output: Annotated[Path, typer.Option("--output", "-o", help=".onnx, or .safetensors for our U-Net.")],
    convention: Annotated[Convention, typer.Option(help="Noise convention it was trained with.")],
    licence: Annotated[str, typer.Option(help="Under which the weights may be used.")],
    source: Annotated[
        Path | None, typer.Argument(metavar="[WEIGHTS]", help="The same as --weights.", show_default=False)
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            "--weights",
            "-w",
            help="What to convert: .onnx, or .safetensors of --network or of our U-Net (--architecture).",
        ),
    ] = None,
    data: Annotated[str, typer.Option(help="What it was trained on.")] = "not stated",
    origin: Annotated[str, typer.Option(help="Who trained it: paper, address.")] = "not stated",
    network: Annotated[
        str | None, typer.Option(metavar="MODULE:FUNCTION", help="Your code that returns the network N(image, time).")
    ] = None,
    architecture: Annotated[Architecture | None, typer.Option(help="Of our own U-Net.")] = None,
    key: Annotated[
        list[str] | None, typer.Option(metavar="OLD=NEW", help="Exchange a prefix of tensor names; repeatable.")
    ] = None,
    predicts: Annotated[
        str | None, typer.Option(help="raw (default of edm), score (of ve), noise (of vp), denoised or v.")
    ] = None,
    time: Annotated[
        str | None, typer.Option(help="It takes sigma, ln_sigma, step (a whole number) or position (between steps).")
    ] = None,
    time_factor: Annotated[float | None, typer.Option(help="It takes this times the time; 0.25 for edm.")] = None,
    sigma_data: Annotated[float | None, typer.Option(help="Of a raw EDM network, in its units.")] = None,
    schedule: Annotated[
        str | None,
        typer.Option(help="vp: linear, cosine, continuous or a file of alpha_bar; ve: geometric or a file of sigmas."),
    ] = None,
    limits: Annotated[
        tuple[float, float] | None, typer.Option(help="First and last beta (vp), lowest and highest sigma (ve).")
    ] = None,
    steps: Annotated[int, typer.Option(min=2, help="Of the schedule.")] = 1000,
    noise: Annotated[
        NoiseNumber, typer.Option(help="Whose standard deviation its noise number is.")
    ] = NoiseNumber.COMPONENT,
    scale: Annotated[float, typer.Option(help="In its images, what is 1 (99.5th percentile) in ours.")] = 1.0,
    offset: Annotated[float, typer.Option(help="In its images, what is 0 in ours.")] = 0.0,
    channels: Annotated[int, typer.Option(help="2: real and imaginary part; 1: each part for itself.")] = 2,
    swapped: Annotated[bool, typer.Option("--swapped", help="The imaginary part comes first.")] = False,
    multiple: Annotated[int, typer.Option(help="Image sides have to be a multiple of this.")] = 16,
    check: Annotated[
        list[Path] | None,
        typer.Option(help="Images, or folders of them, to check on; repeatable.", show_default="analytic head"),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Images of the check at most, evenly spread.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="Of phases and noise of the check.")] = 0,
    overwrite: Annotated[bool, typer.Option(help="Replace the output if it exists.")] = False,
) -> None:
    """Turn a denoiser trained elsewhere into weights for --weights, if it proves to denoise."""
    from nilatron.pipelines.prior.convert import ConvertSettings
    from nilatron.pipelines.prior.convert import convert as run
    from nilatron.pipelines.prior.convert_settings import ForeignUnitSettings
    from nilatron.pipelines.prior.convert_source import SourceSettings

    if source is not None and weights is not None:
        fail(f"weights are given twice, {source} and --weights {weights}: leave one out", BAD_INPUT)
    settings = ConvertSettings(
        source=SourceSettings(
            source or weights,
            network,
            None if architecture is None else architecture.value,
            tuple(_renaming(words) for words in key or []),
        ),
        unit_settings=ForeignUnitSettings(
            convention=convention.value,
            predicts=predicts,
            time=time,
            time_factor=time_factor,
            sigma_data=sigma_data,
            schedule=schedule,
            limits=limits,
            n_steps=steps,
            noise=noise.value,
            scale=scale,
            offset=offset,
            channels=channels,
            swapped=swapped,
            multiple=multiple,
        ),
        output=output,
        licence=licence,
        data=data,
        origin=origin,
        images=tuple(check or []),
        limit=limit,
        seed=seed,
        overwrite=overwrite,
    )
    run(settings, lambda table: say_lines(table.removesuffix("\n")))
    say(f"weights: {output}")


def _renaming(words: str) -> tuple[str, str]:
    old, separator, new = words.partition("=")
    if not separator or not old + new:
        fail(f"--key expects OLD=NEW, got {words!r}", BAD_INPUT)
    return old, new
