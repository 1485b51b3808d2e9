"""`nilatron serve`."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from nilatron import __version__
from nilatron.pipelines.cli.app import (
    BAD_INPUT,
    CONNECTION_FAILED,
    RECONSTRUCTING,
    app,
    examples,
    fail,
    say_lines,
    stderr,
)
from nilatron.pipelines.cli.choices import Device, Engine, LogFormat

MIB = 1 << 20
log = logging.getLogger(__name__)


def take_sources(context: typer.Context, file: Path | None) -> Path | None:
    """Make what the file and the environment set the defaults of the other options."""
    from nilatron.pipelines.cli.sources import read_sources

    sources = read_sources(file)
    context.default_map = {name: _for_click(value) for name, (value, _) in sources.items()}
    context.obj = {name: origin for name, (_, origin) in sources.items()}
    return file


def _for_click(value: Any) -> Any:
    return [str(part) for part in value] if isinstance(value, tuple) else str(value)


def effective(context: typer.Context) -> str:
    """All settings as a TOML file that says where each comes from."""
    from nilatron.pipelines.cli.sources import ServeSources, as_toml

    values = {name: context.params[name] for name in ServeSources.model_fields}
    sources = {name: context.get_parameter_source(name) for name in values}
    given = {name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"}
    origins = {name: "command line" if name in given else context.obj.get(name, "default") for name in values}
    return as_toml(values, origins)


@app.command(rich_help_panel=RECONSTRUCTING, epilog=examples("serve", "serve --settings serve.toml --print-config"))
def serve(
    context: typer.Context,
    settings_file: Annotated[
        Path | None,
        typer.Option(
            "--settings",
            envvar="NILATRON_SERVE_SETTINGS",
            metavar="FILE",
            help="TOML file with these options (max_scans = 4); environment variables NILATRON_SERVE_MAX_SCANS and so on "
            "count more, and the command line most.",
            is_eager=True,
            callback=take_sources,
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen at; 0.0.0.0 for all, behind a firewall.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port for scans; 0 takes a free one.")] = 9002,
    health_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port for health and metrics, on loopback.")
    ] = 9003,
    device: Annotated[Device, typer.Option(help="Where to compute.")] = Device.AUTO,
    weights: Annotated[
        str, typer.Option("--weights", "-w", help="Weights of the prior: a shipped name (default, tiny) or a file.")
    ] = "default",
    engine: Annotated[
        Engine | None, typer.Option(help="What computes the network where a chain leaves it open.")
    ] = None,
    config_dir: Annotated[list[Path] | None, typer.Option(help="Folder with further chains; repeatable.")] = None,
    max_scans: Annotated[int, typer.Option(min=1, help="Scans at once; further ones are refused.")] = 16,
    max_scans_per_peer: Annotated[
        int | None, typer.Option(min=1, help="Of them from one address (default: all).")
    ] = None,
    memory_mb: Annotated[
        int | None, typer.Option(min=1, help="Memory for all scans, in MiB (default: 4/5 of what is free).")
    ] = None,
    noise_store: Annotated[
        Path | None,
        typer.Option(help="Folder that keeps noise measurements, and has them for the scans that depend on them."),
    ] = None,
    scan_budget_s: Annotated[
        float | None, typer.Option(help="Most time for the reconstruction of a scan, in s.")
    ] = None,
    slice_budget_s: Annotated[
        float | None, typer.Option(help="Most time for the reconstruction of a slice, in s.")
    ] = None,
    queue_wait_s: Annotated[
        float, typer.Option(help="Longest wait of a slice for its turn, in s; then it becomes a conventional image.")
    ] = 120.0,
    max_scan_s: Annotated[float, typer.Option(help="Longest time of a scan, from connection to end, in s.")] = 7200.0,
    idle_s: Annotated[float, typer.Option(help="Longest silence of the other end, in s.")] = 900.0,
    grace_s: Annotated[float, typer.Option(help="Time for running scans after SIGTERM, in s.")] = 30.0,
    log_format: Annotated[
        LogFormat, typer.Option(help="Of the log; auto is text on a terminal, else JSON.")
    ] = LogFormat.AUTO,
    fire: Annotated[
        bool, typer.Option(help="Take every client for FIRE: int16 pixels also without parameters.")
    ] = False,
    print_config: Annotated[
        bool,
        typer.Option("--print-config", help="Print all settings and where they come from, as a TOML file, and stop."),
    ] = False,
) -> None:
    """Take scans from Gadgetron's <connect>, ISMRMRD clients and FIRE, until SIGTERM."""
    del settings_file  # its callback has read it
    if print_config:
        say_lines(effective(context))
        return
    from nilatron.core.prior.weights import find_weights
    from nilatron.pipelines.server import logs
    from nilatron.pipelines.server.front import serve as run
    from nilatron.pipelines.server.listening import PortError
    from nilatron.pipelines.server.settings import ServeSettings

    if noise_store is not None:
        try:
            noise_store.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            fail(f"--noise-store {noise_store} cannot be a folder: {error.strerror}", BAD_INPUT)
    as_json = log_format == "json" or (log_format == "auto" and not stderr.is_terminal)
    verbose = bool(context.parent and context.parent.params.get("verbose"))
    settings = ServeSettings(
        host=host,
        port=port,
        health_port=health_port,
        device=device.value,
        weights=find_weights(weights),
        engine=None if engine is None else engine.value,
        config_dirs=tuple(config_dir or ()),
        max_scans=max_scans,
        max_scans_per_peer=max_scans_per_peer,
        memory_bytes=None if memory_mb is None else memory_mb * MIB,
        noise_store=noise_store,
        scan_budget_s=scan_budget_s,
        slice_budget_s=slice_budget_s,
        queue_wait_s=queue_wait_s,
        max_scan_s=max_scan_s,
        idle_s=idle_s,
        grace_s=grace_s,
        log_json=as_json,
        verbose=verbose,
        fire=fire,
    )
    logs.configure("front", as_json=as_json, verbose=verbose)
    revision = os.environ.get("NILATRON_REVISION", "unknown")
    log.info("nilatron %s", __version__, extra={"fields": {"version": __version__, "revision": revision}})
    try:
        run(settings)
    except PortError as error:
        fail(str(error), CONNECTION_FAILED)
    except OSError as error:
        fail(f"cannot serve: {error}", CONNECTION_FAILED)
