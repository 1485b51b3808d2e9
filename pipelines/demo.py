"""Demonstration on a simulated scan: four reconstructions of one raw file, compared with the true images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import ismrmrd
import numpy as np
from PIL import Image as Picture
from rich.console import Console
from rich.table import Table

from nilatron.core.metrics import foreground, psnr
from nilatron.gadgets.node import build_node
from nilatron.pipelines.files.atomic import atomic_path
from nilatron.pipelines.files.labels import with_labels
from nilatron.pipelines.replay.run import replay
from nilatron.pipelines.replay.settings import ReplaySettings
from nilatron.pipelines.simulation.simulate import SimulationSettings, ground_truth, simulate

CHAINS = {"zero_filled": "zero-filled", "cg_sense": "CG-SENSE", "l1_wavelet": "l1-wavelet", "nila": "Nila"}
SCAN = SimulationSettings(
    matrix=(256, 256, 1), n_coils=8, n_slices=3, acceleration=4, calibration_lines=24, noise_std=0.06, waveform_every=16
)


@dataclass(frozen=True)
class Row:
    """Row of the table: the result of one reconstruction."""

    method: str
    psnr_db: float
    seconds_per_slice: float


@dataclass(frozen=True)
class DemoReport:
    """Results of the demo and the picture that it wrote."""

    scan: SimulationSettings
    rows: tuple[Row, ...]
    picture: Path
    complete: bool

    def table(self) -> Table:
        """Table of the results for the terminal."""
        scan = self.scan
        title = f"R = {scan.acceleration}, {scan.n_coils} coils, mean of {scan.n_slices} slices"
        table = Table(title=title, title_justify="left")
        table.add_column("reconstruction")
        table.add_column("PSNR, dB", justify="right")
        table.add_column("seconds a slice", justify="right")
        for row in self.rows:
            table.add_row(row.method, f"{row.psnr_db:.2f}", f"{row.seconds_per_slice:.2f}")
        return table


def run_demo(
    folder: Path,
    seed: int,
    console: Console | None = None,
    scan: SimulationSettings = SCAN,
    engine: str | None = None,
) -> DemoReport:
    """Write raw file, images of every chain and one picture into `folder`, replacing those of an earlier demo.

    `engine` is the engine that computes the network of Nila; None means that of its chain.

    Raises
    ------
    SettingsError
        When the engine is unknown or not installed, before anything is computed.
    """
    nila_properties = {} if engine is None else {"engine": engine}
    build_node("nila", nila_properties)
    folder.mkdir(parents=True, exist_ok=True)
    scan = replace(scan, seed=seed)
    raw = folder / "scan.h5"
    simulate(raw, scan, overwrite=True)
    truths = [np.abs(ground_truth(scan, n))[0] for n in range(scan.n_slices)]
    rows, columns, complete = [], [], True
    for chain, name in CHAINS.items():
        output = folder / f"{chain}.h5"
        settings = ReplaySettings(
            raw,
            output,
            chain,
            output_group="images",
            properties=nila_properties if chain == "nila" else {},
            seed=seed,
            device="auto",
            overwrite=True,
        )
        report = replay(settings, console)
        images = read_series(output, "images", 1)
        values = [psnr(image, truth, foreground(truth)) for image, truth in zip(images, truths, strict=True)]
        rows.append(Row(name, float(np.mean(values)), report.seconds / scan.n_slices))
        columns.append(images[0])
        complete = complete and report.complete
    picture = folder / "comparison.png"
    save_comparison(picture, {"truth": truths[0], **dict(zip(CHAINS.values(), columns, strict=True))})
    return DemoReport(scan, tuple(rows), picture, complete)


def read_series(path: Path, group: str, series: int) -> list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    """Magnitude images (y, x) of one series, in slice order."""
    with ismrmrd.Dataset(str(path), group, create_if_needed=False) as file:
        name = f"image_{series}"
        images = [file.read_image(name, n) for n in range(file.number_of_images(name))]
    return [np.abs(image.data[0, 0]) for image in sorted(images, key=lambda image: int(image.slice))]


def save_comparison(path: Path, images: Mapping[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]) -> None:
    """Write the images side by side below their names, each with its own window from 0 to the 99.5th percentile."""
    tiles = [np.clip(image / max(float(np.percentile(image, 99.5)), 1e-12), 0, 1) for image in images.values()]
    pixels = with_labels((255 * np.concatenate(tiles, axis=1)).astype(np.uint8), list(images))
    with atomic_path(path) as temporary:
        Picture.fromarray(pixels).save(temporary, format="PNG")
