"""The batch of every step. Patch i of step k depends on (seed, k, i) alone, whoever draws it and when.

So a resumed run repeats what an unbroken one would have done, processes share a batch without a word, and batches may be
prepared ahead.
"""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from nilatron.core.prior.acquired import acquired_patches
from nilatron.core.prior.augment import bernoulli, draw_batch
from nilatron.core.prior.loss import draw_sigma
from nilatron.core.prior.training_scans import TrainingScan, draw_scan
from nilatron.pipelines.training.settings import ComputeSettings, TrainSettings

MAX_WORKERS = 8
SCAN = 1  # sets the seeds of scans apart from those of patches


class Batch(NamedTuple):
    """What one process computes in one step.

    Attributes
    ----------
    clean, noise
        Real channels (patch, 2, y, x); noise of variance 1.
    s
        Per-component noise levels (patch,).
    loss_weight
        Weight of this process's mean loss, so that the mean over processes is the mean over all patches.
    n_patches
        Of all processes together.
    scans, scan_share
        Simulated scans of this process, and the weight of the sum of their losses.
    """

    clean: Tensor
    s: Tensor
    noise: Tensor
    loss_weight: float
    n_patches: int
    scans: Sequence[TrainingScan] = ()
    scan_loss_weight: float = 0.0


def measure_sigma_data(images: Sequence[Tensor]) -> float:
    """Root mean square of one real component over the images, sqrt(mean |x|^2 / 2)."""
    power = float(np.mean([float(image.abs().to(torch.float32).square().mean()) for image in images]))
    return round(math.sqrt(power / 2), 4)


def seeded_generator(*numbers: int) -> torch.Generator:
    """A generator for these numbers; 32 bits of seed are all that torch's CPU generator keeps."""
    entropy = (len(numbers), *numbers)  # zeros at the end alone would not count
    return torch.Generator().manual_seed(int(np.random.SeedSequence(entropy).generate_state(1)[0]))


class Batches(Dataset[Batch]):
    """Batches by step, of process `rank` among `n_ranks`."""

    def __init__(self, images: Sequence[Tensor], settings: TrainSettings, rank: int = 0, n_ranks: int = 1) -> None:
        self.images, self.settings, self.rank, self.n_ranks = images, settings, rank, n_ranks

    def __getitem__(self, step: int) -> Batch:
        """Draw this process's patches of one step."""
        s = self.settings
        choice = int(torch.randint(0, len(s.patch_sizes), (), generator=seeded_generator(s.seed, step)))
        size = s.patch_sizes[choice]
        n_patches = max(1, s.batch_size * min(s.patch_sizes) ** 2 // size**2)
        # a process without a patch of its own has to take part in the exchange of gradients: with weight 0
        mine = list(range(self.rank, n_patches, self.n_ranks))
        patches = [self._patch(step, index, size) for index in mine or [0]]
        clean, level, noise = (torch.cat(parts) for parts in zip(*patches, strict=True))
        return Batch(clean, level, noise, len(mine) * self.n_ranks / n_patches, n_patches, *self._scans(step))

    def _scans(self, step: int) -> tuple[list[TrainingScan], float]:
        scans = self.settings.scans
        mine = range(self.rank, scans.per_step, self.n_ranks)
        drawn = [
            draw_scan(self.images, scans, seeded_generator(self.settings.seed, step, index, SCAN)) for index in mine
        ]
        return drawn, scans.weight * self.n_ranks / max(1, scans.per_step)

    def _patch(self, step: int, index: int, size: int) -> tuple[Tensor, Tensor, Tensor]:
        generator = seeded_generator(self.settings.seed, step, index)
        s = self.settings
        if bernoulli(s.acquired_probability, generator):
            clean = acquired_patches(self.images, 1, size, s.scans.acquisition, s.scans.augment, generator)
        else:
            clean = draw_batch(self.images, 1, size, s.augment, generator)
        return clean, draw_sigma(1, generator, s.noise), torch.randn(clean.shape, generator=generator)


def batch_loader(batches: Batches, first_step: int, n_workers: int, pin_memory: bool = False) -> DataLoader[Batch]:
    """Batches of `first_step` to the last, in order, prepared ahead by `n_workers` processes (0: by this one, in time)."""
    return DataLoader(
        batches,
        batch_size=None,
        sampler=range(first_step, batches.settings.steps),
        num_workers=n_workers,
        prefetch_factor=4 if n_workers else None,
        pin_memory=pin_memory,
        worker_init_fn=_outlive_signals,
    )


def _outlive_signals(worker: int) -> None:
    """Leave Ctrl-C and SIGTERM, which reach the whole process group, to the process that trains."""
    del worker
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def n_loader_workers(compute: ComputeSettings, device: str) -> int:
    """Processes that prepare batches, for each device."""
    if compute.workers >= 0:
        return compute.workers
    cores = (os.cpu_count() or 1) // compute.devices
    return 0 if device == "cpu" else max(1, min(MAX_WORKERS, cores - 1))
