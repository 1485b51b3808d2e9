"""The command line. The same words as the XML properties; exit codes 0 done, 2 bad input, 3 reconstruction, 4 connection."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.logging import RichHandler

from nilatron import __version__

app = typer.Typer(
    name="nilatron",
    help="Streaming MRI reconstruction with diffusion priors. Research software: not for diagnosis.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
configs = typer.Typer(help="Chains as shipped: list them, show one, or print where it lies.", no_args_is_help=True)
app.add_typer(configs, name="configs")

BAD_INPUT, RECONSTRUCTION_FAILED = 2, 3
log = logging.getLogger(__name__)
stderr = Console(stderr=True)


def fail(message: str, code: int) -> NoReturn:
    """One line on stderr, and out."""
    stderr.print(f"nilatron: {message}", style="red", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(code)


def print_version(wanted: bool) -> None:
    """Print the version and stop, before anything else is looked at."""
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def common(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what happens to every slice.")] = False,
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and stop.", callback=print_version, is_eager=True),
    ] = False,
) -> None:
    """Set logging up for every command."""
    del version  # its callback has seen it
    handler = RichHandler(console=stderr, show_path=False) if stderr.is_terminal else logging.StreamHandler()
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, handlers=[handler], format="%(message)s")


@app.command()
def replay(
    raw: Annotated[Path, typer.Argument(help="ISMRMRD raw file.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="ISMRMRD image file to write.")],
    chain: Annotated[str, typer.Option("--config", "-c", help="Chain: a shipped name or an XML file.")] = "nila.xml",
    group: Annotated[str, typer.Option("--group", "-g", help="Group of the raw data.")] = "dataset",
    output_group: Annotated[
        str | None, typer.Option("--output-group", "-G", help="Group of the images (default: date and time).")
    ] = None,
    properties: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Property of our node; repeatable.")
    ] = None,
    png: Annotated[Path | None, typer.Option(help="Folder for pictures.")] = None,
    dicom: Annotated[Path | None, typer.Option(help="Folder for DICOM files (needs pydicom).")] = None,
    noise: Annotated[Path | None, typer.Option(help="Raw file with the noise scan.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of all randomness.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    weights: Annotated[Path | None, typer.Option(help="Weights of the prior (default: as shipped).")] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace the output group if it exists.")] = False,
) -> None:
    """Reconstruct a raw file through an XML chain, in this process."""
    from nilatron.core.prior.weights import DEFAULT_WEIGHTS
    from nilatron.pipelines.replay import ReplaySettings
    from nilatron.pipelines.replay import replay as run

    settings = ReplaySettings(
        raw=raw,
        output=output,
        chain=chain,
        group=group,
        output_group=output_group,
        properties=parse_properties(properties or []),
        png=png,
        dicom=dicom,
        noise=noise,
        seed=seed,
        device=device,
        weights=weights or DEFAULT_WEIGHTS,
        overwrite=overwrite,
    )
    report = run(settings, stderr)
    print(f"{report.n_images} images to {output} in {report.seconds:.1f} s")
    if not report.complete:
        why = "; ".join(report.log.problems) or f"{report.n_images} of {report.n_expected} expected images came"
        fail(f"the reconstruction is not complete: {why}", RECONSTRUCTION_FAILED)


@app.command()
def simulate(
    output: Annotated[Path, typer.Argument(help="ISMRMRD raw file to write.")],
    matrix: Annotated[str, typer.Option(metavar="X,Y[,Z]", help="Encoded matrix; Z > 1 is a 3D scan.")] = "256,256",
    coils: Annotated[int, typer.Option(min=1, help="Receiver coils.")] = 8,
    slices: Annotated[int, typer.Option(min=1, help="Slices.")] = 1,
    repetitions: Annotated[int, typer.Option(min=1, help="Repetitions.")] = 1,
    averages: Annotated[int, typer.Option(min=1, help="Averages.")] = 1,
    acceleration: Annotated[int, typer.Option(min=1, help="Along the phase encoding.")] = 4,
    calibration: Annotated[str, typer.Option(help="embedded, separate or none.")] = "embedded",
    calibration_lines: Annotated[int, typer.Option(min=0, help="Fully sampled lines at the centre.")] = 24,
    partial_fourier: Annotated[float, typer.Option(help="Acquired share of the lines, above 0.5.")] = 1.0,
    oversampling: Annotated[float, typer.Option(help="Of the readout.")] = 2.0,
    noise: Annotated[float, typer.Option(help="Complex standard deviation; the object's peak is 1.")] = 0.05,
    image: Annotated[Path | None, typer.Option(help="PNG or npy to scan instead of the phantom.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the noise.")] = 0,
    overwrite: Annotated[bool, typer.Option(help="Replace the file if it exists.")] = False,
) -> None:
    """Write the raw file of a simulated multi-coil scan, with a noise scan."""
    from nilatron.pipelines.simulate import SimulationSettings
    from nilatron.pipelines.simulate import simulate as run

    settings = SimulationSettings(
        matrix=parse_matrix(matrix),
        n_coils=coils,
        n_slices=slices,
        n_repetitions=repetitions,
        n_averages=averages,
        acceleration=acceleration,
        calibration=calibration,
        calibration_lines=calibration_lines,
        partial_fourier=partial_fourier,
        readout_oversampling=oversampling,
        noise_std=noise,
        image=str(image) if image else None,
        seed=seed,
    )
    print(f"{run(output, settings, overwrite=overwrite)} lines to {output}")


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="Where images, picture and raw file go.")] = Path("demo_output"),
    seed: Annotated[int, typer.Option(min=0, help="Of noise and sampler.")] = 0,
) -> None:
    """Simulate a noisy accelerated scan, reconstruct it in four ways and compare."""
    from nilatron.pipelines.demo import run_demo

    report = run_demo(folder, seed, stderr)
    Console().print(report.table())
    print(f"picture: {report.picture}")
    if not report.complete:
        fail("not every expected image came back: see the log above", RECONSTRUCTION_FAILED)


@app.command()
def train(
    images: Annotated[Path, typer.Argument(help="Folder of grey PNG magnitude images.")],
    output: Annotated[Path, typer.Argument(help="Folder for checkpoint and weights.")],
    architecture: Annotated[str, typer.Option(help="tiny, small or large.")] = "small",
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


@configs.command("list")
def list_configs() -> None:
    """Names of the chains."""
    from nilatron.pipelines.chain import list_chains

    print("\n".join(list_chains()))


@configs.command("show")
def show_config(name: Annotated[str, typer.Argument(help="A name from `list`.")]) -> None:
    """The XML of a chain."""
    from nilatron.pipelines.chain import find_chain

    print(find_chain(name).xml.decode())


@configs.command("path")
def path_of_config(name: Annotated[str, typer.Argument(help="A name from `list`.")]) -> None:
    """Where the file of a chain lies."""
    from nilatron.pipelines.chain import find_chain

    print(find_chain(name).location)


@app.command()
def doctor() -> None:
    """Check interpreter, packages, GPU, weights and chains, and replay a small scan."""
    from nilatron.pipelines.doctor import examine

    sound = True
    for finding in examine():
        sound = sound and finding.good
        print(f"{'ok  ' if finding.good else 'FAIL'} {finding.what}: {finding.found}")
    if not sound:
        fail("something is wrong with this installation: see the lines marked FAIL", RECONSTRUCTION_FAILED)


def parse_properties(texts: list[str]) -> dict[str, str]:
    """NAME=VALUE texts to a dictionary."""
    properties = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or not name.strip():
            fail(f"--set expects NAME=VALUE, got {text!r}", BAD_INPUT)
        properties[name.strip()] = value
    return properties


def parse_matrix(text: str) -> tuple[int, int, int]:
    """X,Y or X,Y,Z."""
    parts = text.lower().replace("x", ",").split(",")
    if len(parts) not in (2, 3) or not all(part.strip().isdigit() and int(part) > 0 for part in parts):
        fail(f"--matrix expects two or three positive numbers such as 256,256, got {text!r}", BAD_INPUT)
    x, y, z = (int(part) for part in (*parts, "1")[:3])
    return x, y, z


def main() -> None:
    """Run the command line; what the user can mend is one line and code 2, the rest code 3 with the log."""
    from nilatron.core.errors import BadInputError

    try:
        app()
    except BadInputError as error:
        stderr.print(f"nilatron: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(BAD_INPUT)
    except (RuntimeError, ArithmeticError, MemoryError, OSError, ValueError, LookupError, TypeError) as error:
        log.exception("reconstruction failed")
        stderr.print(f"nilatron: {type(error).__name__}: {error}", style="red", markup=False, soft_wrap=True)
        sys.exit(RECONSTRUCTION_FAILED)
