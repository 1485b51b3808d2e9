"""`nilatron replay`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nilatron.pipelines.cli.app import BAD_INPUT, RECONSTRUCTION_FAILED, app, fail, stderr


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


def parse_properties(texts: list[str]) -> dict[str, str]:
    """NAME=VALUE texts to a dictionary."""
    properties = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or not name.strip():
            fail(f"--set expects NAME=VALUE, got {text!r}", BAD_INPUT)
        properties[name.strip()] = value
    return properties
