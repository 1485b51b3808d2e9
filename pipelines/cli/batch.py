"""`nilatron batch`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

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
from nilatron.pipelines.cli.choices import Device
from nilatron.pipelines.cli.options import (
    FILES,
    ChainOption,
    DeviceOption,
    GroupOption,
    PropertiesOption,
    SeedOption,
    WeightsOption,
    parse_properties,
)

WORKERS = "Workers"  # panel of the help
MIB = 1 << 20


@app.command(
    rich_help_panel=RECONSTRUCTING,
    epilog=examples(
        "batch scans/ -o cohort/",
        "batch 'scans/**/*.h5' -o cohort/ -c cg_sense --ray off --workers 4",
        "batch table.csv -o cohort/ --ray 10.0.0.1:6379 --gpus-per-worker 0.5",
    ),
)
def batch(
    inputs: Annotated[
        list[str],
        typer.Argument(
            help="Raw files, folders of them, patterns, or tables (CSV) of files with settings of their own."
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="Folder for images, table and page; what is finished there stays.",
            rich_help_panel=FILES,
        ),
    ],
    chain: ChainOption = "nila",
    group: GroupOption = "dataset",
    properties: PropertiesOption = None,
    noise: Annotated[
        Path | None,
        typer.Option(help="Raw file with the noise scan, used in place of each scan's own.", rich_help_panel=FILES),
    ] = None,
    seed: SeedOption = 0,
    device: DeviceOption = Device.AUTO,
    weights: WeightsOption = "default",
    overwrite: Annotated[
        bool, typer.Option(help="Replace images that were made otherwise.", rich_help_panel=FILES)
    ] = False,
    ray: Annotated[
        str,
        typer.Option(
            metavar="auto|off|ADDRESS",
            help="Ray (needs nilatron\\[cluster]): auto on this machine, or where RAY_ADDRESS says; ADDRESS of a cluster; off "
            "for plain processes.",
            rich_help_panel=WORKERS,
        ),
    ] = "auto",
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Workers (default: as many as there is room for).", rich_help_panel=WORKERS),
    ] = None,
    cpus_per_worker: Annotated[
        int, typer.Option(min=1, help="Processors of a worker, and its threads.", rich_help_panel=WORKERS)
    ] = 1,
    gpus_per_worker: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            help="GPUs of a worker, 0.5 for half a one (default: 1 where there are GPUs).",
            rich_help_panel=WORKERS,
        ),
    ] = None,
    memory_mb: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="For all files that a machine works on at once (default: what is free).",
            rich_help_panel=WORKERS,
        ),
    ] = None,
    time_limit_s: Annotated[
        float, typer.Option("--time-limit", min=0.1, help="For one try of a file, in seconds.", rich_help_panel=WORKERS)
    ] = 3600.0,
    retries: Annotated[
        int,
        typer.Option(
            min=0, help="Further tries of a file that fails, hangs or ends its worker.", rich_help_panel=WORKERS
        ),
    ] = 1,
) -> None:
    """Reconstruct many raw files, on this machine or on a cluster; the same command again goes on where it was ended."""
    from nilatron.core.prior.weights import find_weights
    from nilatron.pipelines.batch.driver import WorkersError
    from nilatron.pipelines.batch.run import run_batch
    from nilatron.pipelines.batch.settings import BatchSettings, Limits
    from nilatron.pipelines.replay.settings import ReplaySettings

    base = ReplaySettings(
        raw=Path(),
        output=None,
        chain=chain,
        group=group,
        properties=parse_properties(properties or []),
        noise=None if noise is None else noise.absolute(),
        seed=seed,
        device=device.value,
        weights=find_weights(weights),
    )
    limits = Limits(
        workers,
        cpus_per_worker,
        gpus_per_worker,
        retries,
        time_limit_s,
        None if memory_mb is None else memory_mb * MIB,
    )
    settings = BatchSettings(tuple(inputs), output.absolute(), base, limits, ray, overwrite)
    if ray.strip() == "":
        fail("--ray expects auto, off or an address", BAD_INPUT)
    try:
        report = run_batch(settings, stderr)
    except ConnectionError as error:
        fail(f"{error}; nothing was reconstructed", CONNECTION_FAILED)
    except WorkersError as error:
        fail(f"{error}; what is finished was kept in {output}", RECONSTRUCTION_FAILED)
    before = f", {report.n_before} of them by an earlier run" if report.n_before else ""
    say(f"{counted(report.n_rows, 'file')} in {report.seconds:.1f} s{before}; {output / 'report.html'} shows them")
    if not report.complete:
        n_odd = report.n_files - report.n_complete
        fail(
            f"{n_odd} of {counted(report.n_files, 'file')} {'is' if n_odd == 1 else 'are'} not complete: "
            f"{report.first_reason}; {output / 'results.csv'} says why",
            RECONSTRUCTION_FAILED,
        )
