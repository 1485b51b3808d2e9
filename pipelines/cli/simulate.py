"""`nilatron simulate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nilatron.core.words import counted
from nilatron.pipelines.cli.app import BAD_INPUT, RECONSTRUCTING, app, examples, fail, say
from nilatron.pipelines.cli.choices import Calibration


@app.command(
    rich_help_panel=RECONSTRUCTING,
    epilog=examples(
        "simulate scan.h5",
        "simulate scan.h5 --matrix 256,192 --coils 16 --acceleration 6 --noise 0.1",
        "simulate - | nilatron stream -o images.mrd",
    ),
)
def simulate(
    output: Annotated[
        Path, typer.Argument(help="ISMRMRD raw file to write; - is a stream of MRD v1 on standard output.")
    ],
    matrix: Annotated[str, typer.Option(metavar="X,Y[,Z]", help="Encoded matrix; Z > 1 is a 3D scan.")] = "256,256",
    coils: Annotated[int, typer.Option(min=1, help="Receiver coils.")] = 8,
    slices: Annotated[int, typer.Option(min=1, help="Slices.")] = 1,
    repetitions: Annotated[int, typer.Option(min=1, help="Repetitions.")] = 1,
    averages: Annotated[int, typer.Option(min=1, help="Averages.")] = 1,
    acceleration: Annotated[int, typer.Option(min=1, help="Along the phase encoding.")] = 4,
    calibration: Annotated[Calibration, typer.Option(help="Its lines.")] = Calibration.EMBEDDED,
    calibration_lines: Annotated[int, typer.Option(min=0, help="Fully sampled lines at the centre.")] = 24,
    partial_fourier: Annotated[float, typer.Option(help="Acquired share of the lines, above 0.5.")] = 1.0,
    oversampling: Annotated[float, typer.Option(help="Of the readout.")] = 2.0,
    noise: Annotated[float, typer.Option(help="Complex standard deviation; the object's peak is 1.")] = 0.05,
    image: Annotated[Path | None, typer.Option(help="PNG or npy to scan instead of the phantom.")] = None,
    angles: Annotated[
        tuple[float, float, float],
        typer.Option(metavar="X Y Z", help="Of oblique slices about x, y and z, in degrees."),
    ] = (0.0, 0.0, 0.0),
    centre: Annotated[
        tuple[float, float, float], typer.Option(metavar="X Y Z", help="Of the slices in patient coordinates, in mm.")
    ] = (0.0, 0.0, 0.0),
    truth: Annotated[
        Path | None, typer.Option(metavar="FILE.npy", help="Also write the noise-free images (slice, z, y, x).")
    ] = None,
    coil_maps: Annotated[
        Path | None, typer.Option(metavar="FILE.npy", help="Also write the coil maps (slice, coil, z, y, x).")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the noise.")] = 0,
    overwrite: Annotated[bool, typer.Option(help="Replace files that exist.")] = False,
) -> None:
    """Write the raw file of a simulated multi-coil scan, with a noise scan."""
    from nilatron.pipelines.files.pipes import STANDARD, output_pipe
    from nilatron.pipelines.simulation.simulate import SimulationSettings, TruthFiles, simulate_to
    from nilatron.pipelines.simulation.simulate import simulate as run

    settings = SimulationSettings(
        matrix=parse_matrix(matrix),
        n_coils=coils,
        n_slices=slices,
        n_repetitions=repetitions,
        n_averages=averages,
        acceleration=acceleration,
        calibration=calibration.value,
        calibration_lines=calibration_lines,
        partial_fourier=partial_fourier,
        readout_oversampling=oversampling,
        noise_std=noise,
        image=str(image) if image else None,
        angles_deg=angles,
        centre_mm=centre,
        seed=seed,
    )
    files = TruthFiles(truth, coil_maps)
    if output == STANDARD:
        with output_pipe(output) as pipe:
            simulate_to(pipe, settings, overwrite=overwrite, truth=files)
        return
    n_lines = run(output, settings, overwrite=overwrite, truth=files)
    say(f"{counted(n_lines, 'line')} to {output}")


def parse_matrix(text: str) -> tuple[int, int, int]:
    """Matrix size (x, y, z) from a text X,Y or X,Y,Z."""
    parts = text.lower().replace("x", ",").split(",")
    if len(parts) not in (2, 3) or not all(part.strip().isdigit() and int(part) > 0 for part in parts):
        fail(f"--matrix expects two or three positive numbers such as 256,256, got {text!r}", BAD_INPUT)
    x, y, z = (int(part) for part in (*parts, "1")[:3])
    return x, y, z
