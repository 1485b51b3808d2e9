"""Images and coherent volumes drawn from a prior alone, so that a group sees what its prior believes: `nilatron sample`.

The slices of a volume follow each other in small steps of the first noise, from which all else follows:

    z' = r z + sqrt(1 - r^2) e,     r = exp(-spacing / length)

It is white in every slice, so that each is a sample of the prior, and neighbours are alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor

from nilatron.core.prior.edm_weights import load_prior
from nilatron.core.sampling.schedule import karras_schedule
from nilatron.core.sampling.unconditional import sample_unconditional
from nilatron.pipelines.files.atomic import AtomicFolder, InputError, atomic_path
from nilatron.pipelines.files.images import write_png
from nilatron.pipelines.training.batches import seeded_generator

DATASET = "image"  # a name that training reads
PICTURES = ("volume.png", "slice_*.png")
MIN_SIDE = 32
LENGTH_MM = 110.0  # over which the first noise of a volume changes: neighbours are as alike as in real heads


@dataclass(frozen=True)
class SampleSettings:
    """What is drawn.

    Attributes
    ----------
    weights
        Of the prior.
    n_slices
        Of the volume; 1 is a single image.
    matrix
        (y, x) in pixels.
    spacing_mm
        Distance between slices.
    n_steps, sigma_max, sigma_min
        Noise levels of the sampler, complex, image scale 1.
    seed
        Of all noise.
    device
        "cpu" or "cuda".
    """

    weights: Path
    n_slices: int = 1
    matrix: tuple[int, int] = (128, 128)
    spacing_mm: float = 3.0
    n_steps: int = 20
    sigma_max: float = 4.0
    sigma_min: float = 0.01
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        if self.n_slices < 1 or self.n_steps < 2:
            raise InputError(f"expected 1 slice and 2 steps or more, got {self.n_slices} and {self.n_steps}")
        if min(self.matrix) < MIN_SIDE:
            raise InputError(f"a matrix has sides of {MIN_SIDE} pixels or more, got {self.matrix[0]},{self.matrix[1]}")
        if not self.spacing_mm > 0 or not self.sigma_max > self.sigma_min > 0:
            raise InputError("expected a spacing above 0 and noise levels that fall")


def sample(settings: SampleSettings, progress: Callable[[int, int], object] = max) -> Tensor:
    """Complex images (slice, y, x) of image scale 1; `progress` is told how many of how many slices are done.

    Raises
    ------
    BadInputError
        When the weights cannot be used.
    """
    prior = load_prior(settings.weights, settings.device)
    schedule = karras_schedule(settings.n_steps, settings.sigma_max, settings.sigma_min)
    slices: list[Tensor] = []
    noise: Tensor | None = None
    for number in range(settings.n_slices):
        progress(number, settings.n_slices)
        generator = seeded_generator(settings.seed, number)
        noise = next_noise(noise, settings, generator)
        shape = (1, *settings.matrix)
        drawn = sample_unconditional(
            prior.denoiser.denoise, shape, schedule, generator=generator, device=settings.device, first=noise
        )
        slices.append(drawn[0])
    progress(settings.n_slices, settings.n_slices)
    return torch.stack(slices).cpu()


def next_noise(before: Tensor | None, settings: SampleSettings, generator: torch.Generator) -> Tensor:
    """Complex noise (1, y, x) of variance 1, much like that of the slice before if there is one."""
    parts = torch.randn((2, 1, *settings.matrix), generator=generator) / 2**0.5
    fresh = torch.complex(parts[0], parts[1])
    if before is None:
        return fresh
    share = math.exp(-settings.spacing_mm / LENGTH_MM)
    return share * before + math.sqrt(1 - share**2) * fresh


def coherence(slices: Tensor) -> list[float]:
    """Correlation of the magnitudes of each slice (slice, y, x) with those of the next."""
    pixels = slices.abs().reshape(len(slices), -1).to(torch.float64).numpy()
    return [float(np.corrcoef(one, other)[0, 1]) for one, other in pairwise(pixels)]


def write_samples(path: Path, slices: Tensor, settings: SampleSettings, png: Path | None, *, overwrite: bool) -> None:
    """Write complex64 (slice, y, x) to an HDF5 file, and pictures of the volume and of each slice to the folder `png`.

    Raises
    ------
    InputError
        When something exists and may not be replaced, or a folder is missing.
    OutputError
        When the disk is full.
    """
    check_target(path, overwrite=overwrite)
    with ExitStack() as stack:
        folder = None if png is None else stack.enter_context(AtomicFolder(png, own=PICTURES, overwrite=overwrite))
        with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
            file[DATASET] = slices.numpy().astype(np.complex64)
            file[DATASET].attrs["spacing_mm"] = settings.spacing_mm
            file[DATASET].attrs["seed"] = settings.seed
            file[DATASET].attrs["made_by"] = "nilatron sample: drawn from a prior, shows nobody"
        if folder is not None:
            write_png(slices.numpy(), folder.temporary / "volume.png")
            for number, image in enumerate(slices):
                write_png(image.numpy(), folder.temporary / f"slice_{number:03d}.png")


def check_target(path: Path, *, overwrite: bool) -> None:
    """See that a file may be written before anything is drawn.

    Raises
    ------
    InputError
        When it exists and may not be replaced, or its folder does not.
    """
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists: --overwrite replaces it")
    if not path.parent.is_dir():
        raise InputError(f"{path}: the folder {path.parent} does not exist")
