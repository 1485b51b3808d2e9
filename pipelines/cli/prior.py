"""`nilatron prior`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from nilatron.pipelines.cli.app import BAD_INPUT, PRIORS, app, examples, fail, stderr, weights_of
from nilatron.pipelines.cli.choices import Device

prior = typer.Typer(
    help="Weights: what they are, how well they denoise, and denoising with them.",
    no_args_is_help=True,
    epilog=examples(
        "prior info -w tiny", "prior evaluate images -w own.safetensors", "prior denoise noisy.png -o clean.png -s auto"
    ),
)
app.add_typer(prior, name="prior", rich_help_panel=PRIORS)

WeightsOption = Annotated[str, typer.Option("--weights", "-w", help="A shipped name (default, tiny) or a file.")]
JsonOption = Annotated[bool, typer.Option("--json", help="For programs.")]
DeviceOption = Annotated[Device, typer.Option(help="Where to compute.")]


@prior.command()
def info(
    name: Annotated[str | None, typer.Argument(metavar="[WEIGHTS]", help="The same as --weights.")] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights",
            "-w",
            help="A shipped name (default, tiny) or a file of safetensors or ONNX.",
            show_default="default",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """What a weights file is: architecture, parameters, size, hash, noise levels, licence, data."""
    from nilatron.core.prior.weights import find_weights
    from nilatron.pipelines.prior.info import describe_prior

    described = describe_prior(find_weights(weights_of(name, weights, "default")))
    if as_json:
        print(json.dumps(described, indent=2))
        return
    for name, value in described.items():
        text = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
        print(f"{name.replace('_', ' ')}: {text}")


@prior.command()
def evaluate(
    images: Annotated[list[Path], typer.Argument(help="Image files, or folders with one subfolder a source.")],
    weights: WeightsOption = "default",
    sigma: Annotated[
        list[float] | None, typer.Option("--sigma", "-s", help="Complex noise level at image scale 1; repeatable.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder for table and pictures.")] = None,
    rules: Annotated[
        list[str] | None,
        typer.Option("--rule", help="Of the wavelet: soft, hard, wiener; repeatable, the best counts."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Images of each source at most, evenly spread.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of phases and noise.")] = 0,
    device: DeviceOption = Device.AUTO,
    as_json: JsonOption = False,
    overwrite: Annotated[bool, typer.Option(help="Replace table and pictures in the folder.")] = False,
) -> None:
    """Error per noise level and source, against a wavelet denoiser tuned with the truth in hand."""
    from nilatron.core.baselines.wavelet_denoise import RULES
    from nilatron.core.prior.weights import find_weights
    from nilatron.pipelines.device import resolve_device
    from nilatron.pipelines.prior.report import SIGMAS, EvaluationSettings, report_folder
    from nilatron.pipelines.prior.report import evaluate as run
    from nilatron.pipelines.progress import Bar

    # refuses what cannot be written before the evaluation, not after it
    folder = None if output is None else report_folder(output, overwrite=overwrite)
    settings = EvaluationSettings(
        images=tuple(images),
        weights=find_weights(weights),
        sigmas=tuple(sigma) if sigma else SIGMAS,
        rules=tuple(rules) if rules else RULES,
        limit=limit,
        seed=seed,
        device=resolve_device(device.value),
    )
    with Bar(stderr) as bar:
        evaluation = run(settings, bar.update)
    if folder is not None:
        evaluation.write(folder)
    print(evaluation.json() if as_json else evaluation.markdown(), end="\n" if as_json else "")


@prior.command()
def denoise(
    image: Annotated[Path, typer.Argument(metavar="IN", help="Grey PNG, or npy, real or complex, (..., y, x).")],
    sigma: Annotated[
        str, typer.Option("--sigma", "-s", help="Complex noise level at image scale 1 (99.5th percentile), or auto.")
    ],
    file: Annotated[
        Path | None, typer.Argument(metavar="[OUT]", help="npy or PNG file to write, in place of -o.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="npy or PNG file to write.")] = None,
    weights: WeightsOption = "default",
    device: DeviceOption = Device.AUTO,
    overwrite: Annotated[bool, typer.Option(help="Replace the output if it exists.")] = False,
) -> None:
    """Denoise one image file."""
    from nilatron.core.prior.edm_weights import load_prior
    from nilatron.core.prior.weights import find_weights
    from nilatron.pipelines.device import resolve_device
    from nilatron.pipelines.prior.denoise import check_output, read_image, write_image
    from nilatron.pipelines.prior.denoise import denoise as run

    level = parse_sigma(sigma)
    if (output is None) == (file is None):
        fail("give one file to write: -o OUT", BAD_INPUT)
    target = Path(output or file or "")
    check_output(target, overwrite=overwrite)
    pixels = read_image(image)
    result = run(pixels, load_prior(find_weights(weights), resolve_device(device.value)).denoiser, level)
    write_image(target, result.image)
    print(f"{target}: image scale {result.scale:.4g}, sigma {result.sigma:.4g}")


def parse_sigma(text: str) -> float | None:
    """The number in a text, or None for "auto"."""
    if text == "auto":
        return None
    try:
        return float(text)
    except ValueError:
        fail(f"--sigma expects a positive number or auto, got {text!r}", BAD_INPUT)
