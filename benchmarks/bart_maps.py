"""BART's images where coil maps are hard to come by: nonlinear inversion, and two sets of maps; by the package bartorch."""

from __future__ import annotations

import numpy as np
import torch

from bart import ITERATIONS, oracle
from nilatron.core.backend import ComplexArray
from nilatron.core.metrics import foreground, psnr, ssim
from scans import Scan

NEWTON_STEPS = (8, 10, 12)
LIKELY = 8  # of bart.LAMBDAS; the search for the best lambda begins around it


def nlinv(scan: Scan, reference: ComplexArray) -> float:
    """PSNR of BART's nonlinear inversion with its best number of steps."""
    from bartorch import tools  # type: ignore[import-not-found,import-untyped,unused-ignore]

    kspace = torch.from_numpy(scan.kspace)
    images = (tools.nlinv(kspace, maxiter=steps).numpy().reshape(reference.shape) for steps in NEWTON_STEPS)
    return max(psnr(image, reference) for image in images)


def two_sets(scan: Scan, reference: ComplexArray) -> tuple[float, float]:
    """PSNR and SSIM of BART's l1-wavelet image with two map sets, its sets combined, at the best lambda."""
    # the public assembly of `pics` takes one set only
    from bartorch import _reference, priors, tools  # type: ignore[import-not-found,import-untyped,unused-ignore]

    kspace = torch.from_numpy(scan.kspace)
    maps = tools.ecalib(kspace, maps=2, r=24)
    images: dict[float, ComplexArray] = {}

    def score(value: float) -> float:
        term = priors.Wavelet((-1, -2), value)
        sets = _reference.pics(kspace, maps, regularizers=term, maxiter=ITERATIONS).numpy()
        images[value] = np.sqrt(np.sum(np.abs(sets.reshape(-1, *reference.shape)) ** 2, axis=0))
        return psnr(images[value], reference)

    quality, value = oracle(score, start=LIKELY)
    return quality, ssim(images[value], reference, foreground(reference))
