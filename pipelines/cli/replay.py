"""`nilatron replay`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
    say,
    stderr,
)
from nilatron.pipelines.cli.choices import Device, Engine, PixelType, Series
from nilatron.pipelines.cli.options import (
    FILES,
    MEANS,
    ChainOption,
    DeviceOption,
    GroupOption,
    NoiseStoreOption,
    PropertiesOption,
    SeedOption,
    WeightsOption,
    parse_properties,
)

if TYPE_CHECKING:
    from nilatron.pipelines.client.exchange import ServerError
    from nilatron.pipelines.client.images import RemoteSettings
    from nilatron.pipelines.files.disk import OutputError
    from nilatron.pipelines.files.interrupts import StopSignalError
    from nilatron.pipelines.replay.settings import ReplayReport


DICOM, SERVER = "DICOM", "Server"  # panels of the help


@app.command(
    rich_help_panel=RECONSTRUCTING,
    epilog=examples(
        "replay scan.h5 -o images.h5 --png pictures",
        "replay scan.h5 -o images.h5 -c cg_sense --set pixel_type=uint16",
        "replay scan.h5 -o images.h5 --address localhost:9002",
    ),
)
def replay(
    raw: Annotated[Path, typer.Argument(help="ISMRMRD raw file, or a stream of MRD v1 or v2.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="ISMRMRD image file to write.", rich_help_panel=FILES)],
    chain: ChainOption = "nila",
    group: GroupOption = "dataset",
    output_group: Annotated[
        str | None,
        typer.Option(
            "--output-group", "-G", help="Group of the images (default: date and time).", rich_help_panel=FILES
        ),
    ] = None,
    properties: PropertiesOption = None,
    engine: Annotated[
        Engine | None, typer.Option(help="What computes the network; --set engine=...", rich_help_panel=MEANS)
    ] = None,
    series: Annotated[
        list[Series] | None,
        typer.Option(help="Images of each slice, in this order; repeatable; --set series=...", rich_help_panel=MEANS),
    ] = None,
    pixel_type: Annotated[
        PixelType | None, typer.Option(help="Of the images; --set pixel_type=...", rich_help_panel=MEANS)
    ] = None,
    png: Annotated[Path | None, typer.Option(help="Folder for pictures.", rich_help_panel=FILES)] = None,
    dicom: Annotated[
        Path | None, typer.Option(help="Folder for DICOM files (needs nilatron\\[dicom]).", rich_help_panel=DICOM)
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(
            "--report",
            metavar="FILE.html",
            help="One page that shows all images, for people.",
            rich_help_panel=FILES,
        ),
    ] = None,
    study_uid: Annotated[
        str | None,
        typer.Option(
            metavar="UID", help="DICOM study of the images, in place of that of the header.", rich_help_panel=DICOM
        ),
    ] = None,
    like: Annotated[
        Path | None,
        typer.Option(
            help="DICOM file whose patient and study the images get; otherwise they are nobody's.",
            rich_help_panel=DICOM,
        ),
    ] = None,
    series_offset: Annotated[
        int,
        typer.Option(min=0, max=10**9, help="Added to the numbers of DICOM series.", rich_help_panel=DICOM),
    ] = 0,
    send: Annotated[
        str | None,
        typer.Option(
            metavar="AET@HOST:PORT",
            help="Archive that stores the DICOM files, too (C-STORE).",
            rich_help_panel=DICOM,
        ),
    ] = None,
    noise: Annotated[
        Path | None,
        typer.Option(
            help="Raw file or stream with the noise scan, or a noise covariance of MRD v2; in place of the scan's own.",
            rich_help_panel=FILES,
        ),
    ] = None,
    noise_store: NoiseStoreOption = None,
    earlier: Annotated[
        Path | None,
        typer.Option(
            metavar="IMAGES.h5",
            help="Images of an earlier scan of the same geometry, of which slices are told (--set neighbours=past).",
            rich_help_panel=FILES,
        ),
    ] = None,
    seed: SeedOption = 0,
    device: DeviceOption = Device.AUTO,
    weights: WeightsOption = "default",
    overwrite: Annotated[
        bool,
        typer.Option(help="Replace the output file, and the pictures in its folders.", rich_help_panel=FILES),
    ] = False,
    address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Running Gadgetron or Nilatron that reconstructs, in place of this process. -c is then a name that it "
            "knows, or an XML file, which is sent.",
            rich_help_panel=SERVER,
        ),
    ] = None,
    real_time: Annotated[
        bool,
        typer.Option("--real-time", help="Send at the times of the time stamps.", rich_help_panel=SERVER),
    ] = False,
    timeout_s: Annotated[
        float | None,
        typer.Option("--timeout", min=0.1, help="For the whole scan, in seconds.", rich_help_panel=SERVER),
    ] = None,
    idle_timeout_s: Annotated[
        float | None,
        typer.Option(
            "--idle-timeout", min=0.1, help="Longest silence, in seconds (default: 600).", rich_help_panel=SERVER
        ),
    ] = None,
) -> None:
    """Reconstruct a raw file through an XML chain, in this process or on a server."""
    from nilatron.core.prior.weights import find_weights
    from nilatron.pipelines.archive.folder import DicomSettings
    from nilatron.pipelines.archive.send import parse_archive
    from nilatron.pipelines.client.exchange import ServerError
    from nilatron.pipelines.replay.run import replay as run
    from nilatron.pipelines.replay.settings import ReplaySettings

    own = parse_properties(properties or [])
    own |= {} if engine is None else {"engine": engine.value}
    own |= {} if pixel_type is None else {"pixel_type": pixel_type.value}
    own |= {"series": ",".join(series)} if series else {}
    settings = ReplaySettings(
        raw=raw,
        output=output,
        chain=chain,
        group=group,
        output_group=output_group,
        properties=own,
        png=png,
        dicom=dicom,
        report=html,
        dicom_settings=DicomSettings(study_uid, like, series_offset),
        send=None if send is None else parse_archive(send),
        noise=noise,
        noise_store=noise_store,
        earlier=earlier,
        seed=seed,
        device=device.value,
        weights=find_weights(weights),
        overwrite=overwrite,
        remote=remote_of(address, chain, real_time, timeout_s, idle_timeout_s),
    )
    if address and (own or seed or weights != "default" or device is not Device.AUTO):
        fail(
            "--set, --engine, --series, --pixel-type, --seed, --device and --weights are the server's own: set them in the "
            "chain (-c FILE.xml)",
            BAD_INPUT,
        )
    if address and earlier:
        fail("--earlier is for scans that are reconstructed here: a server knows no files of yours", BAD_INPUT)
    if address and noise_store:
        fail("--noise-store is the server's own: nilatron serve --noise-store DIR", BAD_INPUT)
    try:
        report = run(settings, stderr)
    except ServerError as error:
        fail(f"{error}; nothing was written", CONNECTION_FAILED)
    if report.stored_noise is not None:
        say(f"noise of measurement {report.stored_noise!r} stored in {noise_store}; it gives no images")
    else:
        say(f"{counted(report.n_images, 'image')} to {report.written} in {report.seconds:.1f} s")
    unsent = ""
    if report.sent is not None and report.sent.failed:
        unsent = f"{report.sent}; all files are in {dicom}"
    elif report.sent is not None:
        say(str(report.sent))
    elif send is not None and report.failure is not None:
        unsent = "nothing was sent"
    if report.failure is not None:
        fail("; ".join(filter(None, (*end_of(report), unsent))), code_of(report.failure))
    if not report.complete:
        why = "; ".join(report.log.problems) or f"{report.n_images} of {report.n_expected} expected images came"
        why += f"; {unsent}" if unsent else ""
        fail(f"the reconstruction is not complete: {why}", RECONSTRUCTION_FAILED)
    if unsent:
        fail(unsent, CONNECTION_FAILED)


def end_of(report: ReplayReport) -> tuple[str, str]:
    """Why a run did not come to its end, and what is kept of it."""
    from nilatron.pipelines.client.exchange import ServerError
    from nilatron.pipelines.files.interrupts import StopSignalError

    if isinstance(report.failure, ServerError):
        return str(report.failure), f"{report.n_images} of {report.n_expected} expected images came and were kept"
    why = f"stopped by {report.failure}" if isinstance(report.failure, StopSignalError) else str(report.failure)
    return (
        why,
        f"{counted(report.n_images, 'finished image')} {'was' if report.n_images == 1 else 'were'} kept in {report.written}",
    )


def code_of(failure: ServerError | StopSignalError | OutputError) -> int:
    """Exit code of a run that did not come to its end."""
    from nilatron.pipelines.client.exchange import ServerError
    from nilatron.pipelines.files.interrupts import StopSignalError

    if isinstance(failure, StopSignalError):
        return failure.exit_code
    return CONNECTION_FAILED if isinstance(failure, ServerError) else RECONSTRUCTION_FAILED


def remote_of(
    address: str | None, chain: str, real_time: bool, timeout_s: float | None, idle_timeout_s: float | None
) -> RemoteSettings | None:
    """Settings of the server from the options; None without --address."""
    if address is None:
        if real_time or timeout_s is not None or idle_timeout_s is not None:
            fail("--real-time, --timeout and --idle-timeout need a server: give --address HOST:PORT", BAD_INPUT)
        return None
    from nilatron.pipelines.client.exchange import ClientTimeouts
    from nilatron.pipelines.client.images import RemoteSettings
    from nilatron.pipelines.client.request import parse_address, request_for

    timeouts = ClientTimeouts(total_s=timeout_s)
    if idle_timeout_s is not None:
        timeouts = ClientTimeouts(idle_s=idle_timeout_s, total_s=timeout_s)
    return RemoteSettings(parse_address(address), request_for(chain), timeouts, real_time)
