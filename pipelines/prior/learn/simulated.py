"""Simulated scans of training images with the images that are delivered of them, for heads that learn from their errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from torch import Tensor

from nilatron.core.prior.edm_weights import EDMPrior
from nilatron.core.prior.errors.training import ErrorExample, example_of
from nilatron.core.prior.second_look.head import SecondLook
from nilatron.core.prior.training_scans import ScanSettings, TrainingScan, draw_scan
from nilatron.pipelines.training.batches import seeded_generator


def simulated_scans(
    prior: EDMPrior,
    images: Sequence[Tensor],
    settings: ScanSettings,
    n_scans: int,
    seed: int,
    progress: Callable[[str], None],
    look: SecondLook | None = None,
) -> Iterator[tuple[ErrorExample, TrainingScan]]:
    """Scans of random images, each with a seed of its own, and what is delivered of them, after a second look if given."""
    for i in range(n_scans):
        progress(f"scan {i + 1} of {n_scans}")
        scan = draw_scan(images, settings, seeded_generator(seed, i))
        yield example_of(prior.denoiser, scan, np.random.default_rng((seed, i)), look=look), scan
