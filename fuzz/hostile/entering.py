"""What makers of hostile files share: the table that they enter themselves into, and a raw file to be spoilt."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from nilatron.pipelines.simulation.simulate import SimulationSettings, simulate

SCAN = SimulationSettings(matrix=(24, 20, 1), n_coils=2, noise_lines=4, waveform_every=4)
ELSEWHERE = "secret.bin"  # a file beside the hostile one, which nothing may open
Maker = Callable[[Path], Path]

HOSTILE: dict[str, tuple[str, Maker]] = {}


def hostile(kind: str) -> Callable[[Maker], Maker]:
    """Enter a maker under its name; `kind` is raw, images, weights, network, toml, chain or dicom."""

    def enter(maker: Maker) -> Maker:
        HOSTILE[maker.__name__] = (kind, maker)
        return maker

    return enter


@contextmanager
def scan(folder: Path) -> Iterator[h5py.File]:
    """A raw file to be spoilt; the group of the scan lies in it as `dataset`."""
    (folder / ELSEWHERE).write_bytes(b"swordfish" * 1000)
    simulate(folder / "raw.h5", SCAN)
    with h5py.File(folder / "raw.h5", "r+") as file:
        yield file


def raw(folder: Path) -> Path:
    """Path of the file of `scan`."""
    return folder / "raw.h5"
