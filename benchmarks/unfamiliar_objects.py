"""Magnitude images of things that are no heads, for `unfamiliar.py`: drawn fruit and parts, phantoms, pictures from files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from nilatron.core.fft import ifft

Picture = npt.NDArray[np.float32]
SIDE = 256
PHANTOMS = ("phantom_8ch.h5", "phantom_16ch_R2_separate_ref.h5")


def grid() -> tuple[Picture, Picture]:
    """Coordinates y and x from -1 to 1."""
    axis = np.linspace(-1, 1, SIDE, dtype=np.float32)
    return axis[:, None] + 0 * axis, axis + 0 * axis[:, None]


def citrus(generator: np.random.Generator) -> Picture:
    """A cut orange: rind, segments with fibres, a core."""
    y, x = grid()
    radius, angle = np.hypot(y, x * generator.uniform(0.9, 1.1)), np.arctan2(y, x)
    n, size = int(generator.integers(8, 12)), generator.uniform(0.6, 0.85)
    walls = np.abs(np.sin((angle + generator.uniform(0, 7)) * n / 2)) * radius > 0.04
    fibres = 1 + 0.2 * ndimage.gaussian_filter(generator.standard_normal((SIDE, SIDE)), 2) * 6
    flesh = (radius < 0.88 * size) & walls & (radius > 0.06)
    rind = (radius > 0.93 * size) & (radius < size)
    return np.asarray(flesh * fibres * generator.uniform(0.6, 1) + 0.5 * rind, np.float32)


def seeded_fruit(generator: np.random.Generator) -> Picture:
    """Flesh of one brightness with dark and bright seeds, as a kiwi or a melon has."""
    y, x = grid()
    radius, angle = np.hypot(y / generator.uniform(0.7, 1), x), np.arctan2(y, x)
    size = generator.uniform(0.55, 0.85)
    image = (radius < size) * (0.7 + 0.3 * np.cos(radius / size * 3) + 0.05 * np.cos(40 * angle))
    for _ in range(int(generator.integers(20, 60))):
        t, r = generator.uniform(0, 2 * np.pi), size * generator.uniform(0.25, 0.6)
        seed = ((y - r * np.sin(t)) / 0.02) ** 2 + ((x - r * np.cos(t)) / 0.035) ** 2 < 1
        image = np.where(seed, generator.choice([0.1, 1.2]), image)
    return np.asarray(image, np.float32)


def parts(generator: np.random.Generator) -> Picture:
    """Rods, plates with holes and a resolution pattern, as in a machine's test object."""
    y, x = grid()
    image = np.zeros((SIDE, SIDE))
    for _ in range(int(generator.integers(4, 9))):
        angle = generator.uniform(0, np.pi)
        v = np.cos(angle) * (y - generator.uniform(-0.5, 0.5)) + np.sin(angle) * (x - generator.uniform(-0.5, 0.5))
        w = -np.sin(angle) * y + np.cos(angle) * x
        image = np.maximum(
            image, (np.abs(v) < generator.uniform(0.05, 0.25)) * (np.abs(w) < 0.6) * generator.uniform(0.3, 1)
        )
    bars = (
        (np.sin(x * generator.uniform(60, 200)) > 0)
        & (np.abs(y - generator.uniform(-0.4, 0.4)) < 0.15)
        & (np.abs(x) < 0.5)
    )
    return np.asarray(np.where(bars, 1.0, image), np.float32)


def limb(generator: np.random.Generator) -> Picture:
    """A section through a leg: fat, muscles, two bones with marrow, vessels."""
    y, x = grid()
    wobble = 1 + 0.05 * np.cos(3 * np.arctan2(y, x) + generator.uniform(0, 6))
    radius = np.hypot(y, x) * wobble
    image = np.where(radius < 0.8, 0.95, 0.0)
    image = np.where(radius < generator.uniform(0.6, 0.72), 0.35 + 0.04 * np.cos(5 * np.arctan2(y, x)), image)
    for _ in range(2):
        cy, cx, r = generator.uniform(-0.3, 0.3), generator.uniform(-0.3, 0.3), generator.uniform(0.08, 0.18)
        distance = np.hypot(y - cy, x - cx)
        image = np.where(distance < r, np.where(distance < 0.7 * r, 0.9, 0.05), image)
    for _ in range(5):
        spot = np.hypot(y - generator.uniform(-0.5, 0.5), x - generator.uniform(-0.5, 0.5)) < 0.025
        image = np.where(spot & (image > 0), 1.2, image)
    return np.asarray(ndimage.gaussian_filter(image, 0.7), np.float32)


DRAWN = {"citrus": citrus, "seeded fruit": seeded_fruit, "parts": parts, "limb": limb}


def drawn(n: int, generator: np.random.Generator) -> Iterator[tuple[str, Picture]]:
    """`n` of each kind."""
    for name, draw in DRAWN.items():
        for _ in range(n):
            yield name, draw(generator)


def phantoms(data: Path) -> Iterator[tuple[str, Picture]]:
    """Root sum of squares of the fully sampled phantom scans of kspace/ in `data`."""
    for name in PHANTOMS:
        with h5py.File(data / "kspace" / name) as file:
            kspace = file["refscan" if "refscan" in file else "kspace"][:]
        image = np.sqrt(np.sum(np.abs(ifft(np.asarray(kspace, np.complex64)[:, None])) ** 2, axis=0))[0]
        yield "phantom", np.asarray(image / image.max(), np.float32)


def pictures(folder: Path) -> Iterator[tuple[str, Picture]]:
    """Every picture below the folder, by the name of its own folder: grey values, at most `SIDE` pixels a side."""
    for path in sorted(folder.rglob("*.png")):
        with Image.open(path) as picture:
            grey = picture.convert("L")
            grey.thumbnail((SIDE, SIDE))
            yield path.parent.name, np.asarray(grey, np.float32)
