"""`nilatron stream`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from nilatron.core.words import counted
from nilatron.pipelines.cli.app import (
    BAD_INPUT,
    CONNECTION_FAILED,
    RECONSTRUCTING,
    RECONSTRUCTION_FAILED,
    app,
    examples,
    fail,
)
from nilatron.pipelines.cli.choices import Device
from nilatron.pipelines.cli.options import (
    FILES,
    MEANS,
    ChainOption,
    DeviceOption,
    NoiseStoreOption,
    SeedOption,
    WeightsOption,
    parse_properties,
)

if TYPE_CHECKING:
    from nilatron.pipelines.stream import v1, v2
    from nilatron.pipelines.stream.run import OutgoingEnd

VERSION_1 = "mrd1"


@app.command(
    rich_help_panel=RECONSTRUCTING,
    epilog=examples(
        "simulate - | nilatron stream -o images.mrd",
        "stream -c cg_sense -i scan.fifo -o images.fifo",
        "stream --convert --answer mrd1 -i scan.mrd -o scan.stream",
    ),
)
def stream(
    source: Annotated[
        Path, typer.Option("--input", "-i", help="Stream to read: file or named pipe.", rich_help_panel=FILES)
    ] = Path("-"),
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Stream to write: file or named pipe.", rich_help_panel=FILES)
    ] = Path("-"),
    chain: ChainOption = "nila",
    properties: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            "--parameter",
            metavar="NAME=VALUE",
            help="Property of our node; repeatable.",
            rich_help_panel=MEANS,
        ),
    ] = None,
    convert: Annotated[
        bool, typer.Option("--convert", help="Pass every item on, without a chain.", rich_help_panel=MEANS)
    ] = False,
    answer: Annotated[
        str | None,
        typer.Option(
            metavar=f"{VERSION_1}|FILE",
            help="Format of the output: MRD v1, or MRD v2 with the schema of this stream (default: as it came).",
            rich_help_panel=MEANS,
        ),
    ] = None,
    noise: Annotated[
        Path | None,
        typer.Option(
            "--noise-in",
            help="Noise in place of the scan's own: a covariance of MRD v2, a stream or a raw file.",
            rich_help_panel=FILES,
        ),
    ] = None,
    noise_out: Annotated[
        Path | None,
        typer.Option(help="Write the noise covariance of the stream, as MRD v2.", rich_help_panel=FILES),
    ] = None,
    noise_store: NoiseStoreOption = None,
    seed: SeedOption = 0,
    device: DeviceOption = Device.AUTO,
    weights: WeightsOption = "default",
    overwrite: Annotated[bool, typer.Option(help="Replace files that exist.", rich_help_panel=FILES)] = False,
) -> None:
    """Reconstruct a stream of MRD v1 or v2 from a pipe to a pipe."""
    from nilatron.core.prior.weights import find_weights
    from nilatron.pipelines.chain.find import load_chain
    from nilatron.pipelines.files.pipes import input_pipe, output_pipe
    from nilatron.pipelines.stream import run
    from nilatron.pipelines.stream.recorded import open_incoming

    settings = run.StreamSettings(
        chain=chain,
        properties=parse_properties(properties or []),
        noise=noise,
        noise_out=noise_out,
        noise_store=noise_store,
        seed=seed,
        device=device.value,
        weights=find_weights(weights),
    )
    load_chain(chain)  # a mistake in it is told before anything is read
    if noise_out is not None and noise_out.exists() and not overwrite:
        fail(f"{noise_out}: exists; choose another name or replace it with --overwrite", BAD_INPUT)
    file = input_pipe(source)
    with output_pipe(output, overwrite=overwrite) as pipe:
        incoming = open_incoming(file, str(source))
        outgoing = outgoing_of(answer, incoming, pipe)
        report = (run.convert if convert else run.reconstruct)(incoming, outgoing, settings)
    if report.failure is not None:
        sent = counted(report.n_sent, "item" if convert else "image")
        fail(f"{report.failure}; {sent} written", CONNECTION_FAILED if report.broken else RECONSTRUCTION_FAILED)


def outgoing_of(answer: str | None, incoming: v1.Incoming | v2.Incoming, pipe: BinaryIO) -> OutgoingEnd:
    """The outgoing end of a stream in the format that is asked for."""
    from nilatron.pipelines.stream import v1, v2

    if answer == VERSION_1 or (answer is None and isinstance(incoming, v1.Incoming)):
        return v1.Outgoing(pipe)
    if answer is None and isinstance(incoming, v2.Incoming):
        return v2.Outgoing(pipe, incoming.model, incoming.header_record)
    return v2.Outgoing(pipe, v2.model_in(Path(answer or "")))
