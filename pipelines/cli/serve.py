"""`nilatron serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nilatron.pipelines.cli.app import BAD_INPUT, CONNECTION_FAILED, app, fail, stderr

MIB = 1 << 20


@app.command()
def serve(
    context: typer.Context,
    host: Annotated[str, typer.Option(help="Address to listen at; 0.0.0.0 for all, behind a firewall.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port for scans; 0 takes a free one.")] = 9002,
    health_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port for health and metrics, on loopback.")
    ] = 9003,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    weights: Annotated[
        str, typer.Option(help="Weights of the prior: a shipped name (default, tiny) or a file.")
    ] = "default",
    engine: Annotated[
        str | None,
        typer.Option(help="What computes the network where a chain leaves it open: torch, onnx, openvino or tensorrt."),
    ] = None,
    config_dir: Annotated[list[Path] | None, typer.Option(help="Folder with further chains; repeatable.")] = None,
    max_scans: Annotated[int, typer.Option(min=1, help="Scans at once; further ones are refused.")] = 16,
    memory_mb: Annotated[
        int | None, typer.Option(min=1, help="Memory for all scans, in MiB (default: 4/5 of what is free).")
    ] = None,
    noise_store: Annotated[
        Path | None,
        typer.Option(help="Folder that keeps noise measurements, and has them for the scans that depend on them."),
    ] = None,
    scan_budget_s: Annotated[float | None, typer.Option(help="Time for the reconstruction of a scan, in s.")] = None,
    slice_budget_s: Annotated[float | None, typer.Option(help="Time for the reconstruction of a slice, in s.")] = None,
    idle_s: Annotated[float, typer.Option(help="Longest silence of the other end, in s.")] = 900.0,
    grace_s: Annotated[float, typer.Option(help="Time for running scans after SIGTERM, in s.")] = 30.0,
    log_format: Annotated[str, typer.Option(help="auto (text on a terminal, else JSON), json or text.")] = "auto",
) -> None:
    """Take scans from Gadgetron's <connect>, ISMRMRD clients and FIRE, until SIGTERM."""
    from nilatron.core.prior.weights import find_weights
    from nilatron.pipelines.server import logs
    from nilatron.pipelines.server.front import serve as run
    from nilatron.pipelines.server.settings import ServeSettings

    if log_format not in ("auto", "json", "text"):
        fail(f"--log-format must be auto, json or text, got {log_format!r}", BAD_INPUT)
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
        device=device,
        weights=find_weights(weights),
        engine=engine,
        config_dirs=tuple(config_dir or ()),
        max_scans=max_scans,
        memory_bytes=None if memory_mb is None else memory_mb * MIB,
        noise_store=noise_store,
        scan_budget_s=scan_budget_s,
        slice_budget_s=slice_budget_s,
        idle_s=idle_s,
        grace_s=grace_s,
        log_json=as_json,
        verbose=verbose,
    )
    logs.configure("front", as_json=as_json, verbose=verbose)
    try:
        run(settings)
    except OSError as error:
        fail(f"cannot serve at {host}, ports {port} and {health_port}: {error}", CONNECTION_FAILED)
