"""Write complex training images with phases drawn for magnitude images."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from nilatron.core.prior.edm_weights import load_prior
from nilatron.core.prior.phase import PhaseSettings, draw_phases
from nilatron.pipelines.device import resolve_device
from nilatron.pipelines.files.atomic import AtomicFolder, InputError
from nilatron.pipelines.files.disk import npy_bytes
from nilatron.pipelines.training.images import TrainingImagesError, fingerprint, load_images

SEED_STRIDE = 1_000_003  # keeps the seeds of images of neighbouring runs apart


@dataclass(frozen=True)
class PhaseJob:
    """What to draw phases for, with what, and where to.

    Attributes
    ----------
    magnitudes
        Files or folders of magnitude images.
    output
        Folder for the complex images; must be empty or not exist.
    weights
        Of a denoiser that was trained on complex images.
    samples_per_image
        Phases of each magnitude image.
    seed
        Each image's phases depend on it and on the image's number, not on the other images.
    device
        auto, cpu or cuda.
    """

    magnitudes: tuple[Path, ...]
    output: Path
    weights: Path
    samples_per_image: int = 1
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        """Refuse jobs without work."""
        if self.samples_per_image < 1 or self.seed < 0:
            raise InputError(f"samples per image must be at least 1 and the seed at least 0, got {self}")


def write_phases(
    job: PhaseJob, settings: PhaseSettings | None = None, report: Callable[[float, float, str], None] = lambda *_: None
) -> int:
    """Write m e^{i phase} as complex64 npy files (y, x), image scale 1, all at once in the end, and how they were made.

    Returns
    -------
    Number of complex images.

    Raises
    ------
    BadInputError
        When images, weights or the folder cannot be used.
    """
    settings = settings or PhaseSettings()
    if job.output.is_dir() and any(job.output.iterdir()):
        raise InputError(f"{job.output} is not empty: give another folder for the complex images")
    device = resolve_device(job.device)
    prior = load_prior(job.weights, device)
    images = load_images(job.magnitudes)
    if any(image.is_complex() for image in images):
        raise TrainingImagesError("phases are drawn for magnitude images, but some of these are complex already")
    origin = {
        "weights_sha256": prior.sha256,
        "magnitudes": fingerprint(images),
        "samples_per_image": job.samples_per_image,
        "seed": job.seed,
        "settings": asdict(settings),
    }
    with AtomicFolder(job.output) as folder:
        report(0, len(images), "images")
        for number, image in enumerate(images):
            generator = torch.Generator().manual_seed(job.seed * SEED_STRIDE + number)
            magnitude = image.to(device, torch.float32).expand(job.samples_per_image, *image.shape)
            drawn = draw_phases(prior.denoiser.denoise, magnitude, generator, settings).cpu().numpy()
            for sample, pixels in enumerate(drawn):
                path = folder.temporary / f"image_{number:06d}_phase_{sample:02d}.npy"
                path.write_bytes(npy_bytes(pixels))
            report(number + 1, len(images), "images")
        (folder.temporary / "phases.json").write_text(json.dumps(origin, indent=2))
    return len(images) * job.samples_per_image
