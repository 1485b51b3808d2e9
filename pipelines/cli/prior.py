"""`nilatron prior`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from nilatron.core.words import shown
from nilatron.pipelines.cli.app import BAD_INPUT, PRIORS, app, examples, fail, say, say_lines, stderr, weights_of
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
        say_lines(json.dumps(described, indent=2))
        return
    for name, value in described.items():
        text = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
        say(f"{name.replace('_', ' ')}: {text}")


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
    say_lines((evaluation.json() if as_json else evaluation.markdown()).removesuffix("\n"))


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
    say(f"{target}: image scale {result.scale:.4g}, sigma {result.sigma:.4g}")


def parse_sigma(text: str) -> float | None:
    """The number in a text, or None for "auto"."""
    if text == "auto":
        return None
    try:
        return float(text)
    except ValueError:
        fail(f"--sigma expects a positive number or auto, got {text!r}", BAD_INPUT)


OutputOption = Annotated[Path, typer.Option("--output", "-o", help="Weights file to write.")]


@prior.command("learn-errors")
def learn_errors(
    images: Annotated[list[Path], typer.Argument(help="Training images: files and folders.")],
    output: OutputOption,
    weights: WeightsOption = "default",
    scans: Annotated[int, typer.Option(min=1, help="Simulated scans that it learns from.")] = 800,
    steps: Annotated[int, typer.Option(min=1, help="Training steps.")] = 4000,
    seed: Annotated[int, typer.Option(min=0, help="Of scans and training.")] = 0,
) -> None:
    """Train a head that predicts the errors of the images of these weights, which stay as they are."""
    from nilatron.core.prior.errors.training import HeadTraining
    from nilatron.core.prior.weights import find_weights
    from nilatron.pipelines.prior.learn.errors import LearnErrorsSettings
    from nilatron.pipelines.prior.learn.errors import learn_errors as run

    training = HeadTraining(steps=steps, seed=seed)
    settings = LearnErrorsSettings(tuple(images), find_weights(weights), n_scans=scans, training=training)
    with stderr.status("reading") as status:
        run(settings, output, lambda text: status.update(Text(shown(text))))
    say(f"{output}: predicts errors, uncalibrated; `nilatron prior calibrate` is next")


@prior.command("learn-look")
def learn_look(
    images: Annotated[list[Path], typer.Argument(help="Training images: files and folders.")],
    output: OutputOption,
    weights: WeightsOption = "default",
    scans: Annotated[int, typer.Option(min=1, help="Simulated scans that it learns from.")] = 1400,
    steps: Annotated[int, typer.Option(min=1, help="Training steps.")] = 3000,
    seed: Annotated[int, typer.Option(min=0, help="Of scans and training.")] = 0,
) -> None:
    """Train a head that corrects the images of these weights once more; the weights stay as they are."""
    from nilatron.core.prior.second_look.training import LookTraining
    from nilatron.core.prior.weights import find_weights
    from nilatron.pipelines.prior.learn.look import LearnLookSettings
    from nilatron.pipelines.prior.learn.look import learn_look as run

    training = LookTraining(steps=steps, seed=seed)
    settings = LearnLookSettings(tuple(images), find_weights(weights), n_scans=scans, training=training)
    with stderr.status("reading") as status:
        run(settings, output, lambda text: status.update(Text(shown(text))))
    say(f"{output}: takes a second look; `nilatron prior calibrate` is next")


@prior.command()
def calibrate(
    images: Annotated[list[Path], typer.Argument(help="Images of subjects that no training saw.")],
    output: OutputOption,
    weights: WeightsOption = "default",
    subject: Annotated[
        str, typer.Option(help="Regular expression in file names that tells the subject; by default their folder does.")
    ] = "",
    scans: Annotated[int, typer.Option(min=1, help="Simulated scans for each subject and protocol class.")] = 2,
    coverage: Annotated[float, typer.Option(help="Share of a subject's pixels inside the interval.")] = 0.9,
    confidence: Annotated[float, typer.Option(help="Probability of that coverage for a new subject.")] = 0.6,
    bound: Annotated[float, typer.Option(help="Probability that a new subject's images have the PSNR stated.")] = 0.9,
    seed: Annotated[int, typer.Option(min=0, help="Of the scans.")] = 0,
) -> None:
    """Calibrate the predicted errors for each class of acceleration and noise, and store that with the weights."""
    from nilatron.core.prior.weights import find_weights
    from nilatron.core.uncertainty.calibration import CalibrationLevels
    from nilatron.pipelines.prior.calibrate import CalibrateSettings
    from nilatron.pipelines.prior.calibrate import calibrate as run

    try:
        levels = CalibrationLevels(coverage, confidence, bound)
    except ValueError as error:
        fail(str(error), BAD_INPUT)
    settings = CalibrateSettings(tuple(images), find_weights(weights), subject, scans, levels, seed)
    with stderr.status("reading") as status:
        found = run(settings, output, lambda text: status.update(Text(shown(text))))
    for (acceleration, noise), one in sorted(found.classes.items()):
        say(
            f"acceleration band {acceleration + 1}, noise band {noise + 1}: kappa {one.kappa:.3g}, "
            f"PSNR margin {one.psnr_margin_db:.2f} dB, {one.subjects} subjects"
        )


@prior.command("learn-familiar")
def learn_familiar(
    images: Annotated[list[Path], typer.Argument(help="Training images of these weights: files and folders.")],
    output: OutputOption,
    weights: WeightsOption = "default",
    steps: Annotated[int, typer.Option(min=1, help="Training steps.")] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Of the training.")] = 0,
) -> None:
    """Train a network that tells the kind of image which these weights know from everything else."""
    from nilatron.core.prior.familiarity_training import FamiliarityTraining
    from nilatron.core.prior.weights import find_weights
    from nilatron.pipelines.prior.learn.familiar import LearnFamiliarSettings
    from nilatron.pipelines.prior.learn.familiar import learn_familiar as run

    training = FamiliarityTraining(steps=steps, seed=seed)
    with stderr.status("reading") as status:
        found = run(
            LearnFamiliarSettings(tuple(images), find_weights(weights), training),
            output,
            lambda text: status.update(Text(shown(text))),
        )
    say(f"{output}: threshold {found.threshold:.2f}, false alarms {found.false_alarms:.2%}")


@prior.command("learn-neighbours")
def learn_neighbours(
    images: Annotated[
        list[Path], typer.Argument(help="Ordered volumes: files and folders, pictures numbered by slice.")
    ],
    output: OutputOption,
    weights: WeightsOption = "default",
    start: Annotated[Path | None, typer.Option(help="Weights that it wrote, to go on with.")] = None,
    scans: Annotated[int, typer.Option(min=1, help="Simulated scans of a few slices that it learns from.")] = 300,
    steps: Annotated[int, typer.Option(min=1, help="Training steps for each scan.")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="Of scans and training.")] = 0,
    data: Annotated[str, typer.Option(help="What the images are, for the metadata.")] = "not stated",
    licence: Annotated[str, typer.Option(help="Of the weights, for their metadata.")] = "not stated",
) -> None:
    """Train a head that tells these weights, which stay as they are, of neighbouring slices."""
    from nilatron.core.prior.neighbours.training import NeighbourTraining
    from nilatron.core.prior.weights import find_weights
    from nilatron.pipelines.prior.learn.neighbours import LearnNeighboursSettings
    from nilatron.pipelines.prior.learn.neighbours import learn_neighbours as run

    settings = LearnNeighboursSettings(
        tuple(images),
        find_weights(weights),
        start,
        training=NeighbourTraining(n_scans=scans, steps_per_scan=steps, seed=seed),
        data=data,
        licence=licence,
    )
    with stderr.status("reading") as status:
        run(settings, output, lambda text: status.update(Text(shown(text))))
    say(f"{output}: knows neighbouring slices")
