"""How well a prior denoises: the table and the pictures of `nilatron prior evaluate`."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image as Picture
from torch import Tensor

from nilatron.core.baselines.wavelet_denoise import (
    CANDIDATES,
    RULES,
    WaveletDenoiseSettings,
    oracle_settings,
    wavelet_denoise,
)
from nilatron.core.prior.edm_weights import EDMPrior, load_prior
from nilatron.core.prior.evaluate import Comparison, compare, draw_clean_and_noise, pooled
from nilatron.core.prior.prior import MeanDenoiser
from nilatron.pipelines.files.atomic import AtomicFolder, InputError
from nilatron.pipelines.files.labels import with_labels
from nilatron.pipelines.training.images import READERS, load_images

SIGMAS = (0.02, 0.05, 0.1, 0.2)
Report = Callable[[float, float, str, str], None]  # done, total, unit, what is being done
TUNING_IMAGES = 12  # of each source, on which the wavelet denoiser is tuned
ERROR_GAIN = 5  # of the error pictures
COLUMNS = (
    "clean",
    "noisy",
    "prior",
    "wavelet",
    f"error of prior x {ERROR_GAIN}",
    f"error of wavelet x {ERROR_GAIN}",
)


@dataclass(frozen=True)
class EvaluationSettings:
    """One evaluation.

    Attributes
    ----------
    images
        Files, or folders whose first subfolders are the sources.
    weights
        File of the prior.
    sigmas
        Complex noise levels, image scale 1.
    rules
        Shrinkage rules of the wavelet denoiser, of which the best is taken.
    limit
        Images of each source at most, evenly spread; all by default.
    seed
        Of phases and noise.
    device
        For the network: cpu or cuda.
    """

    images: tuple[Path, ...]
    weights: Path
    sigmas: tuple[float, ...] = SIGMAS
    rules: tuple[str, ...] = RULES
    limit: int | None = None
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        """Refuse what cannot be measured."""
        if not self.sigmas or not all(0 < sigma < math.inf for sigma in self.sigmas):
            raise InputError(f"noise levels must be positive numbers, got {list(self.sigmas)}")
        if not self.rules or not set(self.rules) <= set(RULES):
            raise InputError(
                f"rules of the wavelet denoiser must be some of {', '.join(RULES)}, got {list(self.rules)}"
            )
        if self.limit is not None and self.limit < 1:
            raise InputError(f"at least one image of each source is needed, got a limit of {self.limit}")


@dataclass(frozen=True)
class Row:
    """One line of the table; the wavelet settings are those of the oracle, none where sources are pooled."""

    comparison: Comparison
    wavelet: WaveletDenoiseSettings | None


@dataclass(frozen=True)
class Evaluation:
    """Table and pictures (source: grey levels (y, x))."""

    weights: str
    sha256: str
    seed: int
    rows: tuple[Row, ...]
    pictures: Mapping[str, npt.NDArray[np.uint8]]

    def markdown(self) -> str:
        """The table."""
        lines = [
            "| source | images | sigma | noise | prior | wavelet | rule of the wavelet | prior / wavelet |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for row in self.rows:
            c = row.comparison
            lines.append(
                f"| {c.source} | {c.n_images} | {c.sigma:g} | {c.sigma / math.sqrt(2):.4f} | {c.rmse:.4f} "
                f"| {c.reference_rmse:.4f} | {describe(row.wavelet)} | {c.ratio:.3f} |"
            )
        return "\n".join(lines) + "\n"

    def json(self) -> str:
        """The same for programs."""
        rows = [
            {
                "source": row.comparison.source,
                "images": row.comparison.n_images,
                "sigma": row.comparison.sigma,
                "rmse_prior": row.comparison.rmse,
                "rmse_wavelet": row.comparison.reference_rmse,
                "ratio": row.comparison.ratio,
                "wavelet": describe(row.wavelet),
            }
            for row in self.rows
        ]
        return json.dumps({"weights": self.weights, "sha256": self.sha256, "seed": self.seed, "rows": rows}, indent=2)

    def write(self, folder: AtomicFolder) -> None:
        """Write table.md, table.json and one PNG a source, all at once."""
        with folder as output:
            (output.temporary / "table.md").write_text(self.markdown())
            (output.temporary / "table.json").write_text(self.json() + "\n")
            for source, pixels in self.pictures.items():
                Picture.fromarray(pixels).save(output.temporary / f"{source}.png")


def report_folder(folder: Path, *, overwrite: bool) -> AtomicFolder:
    """Folder for table and pictures, `overwrite` replacing those of an earlier evaluation.

    Raises
    ------
    InputError
        When it cannot be that.
    """
    return AtomicFolder(folder, own=("table.md", "table.json", "*.png"), overwrite=overwrite)


def describe(settings: WaveletDenoiseSettings | None) -> str:
    """Rule and threshold in a few words."""
    if settings is None:
        return ""
    level = f", {settings.wiener_level:g}" if settings.rule == "wiener" else ""
    return f"{settings.rule} {settings.threshold:g}{level}"


def find_sources(paths: Sequence[Path]) -> dict[str, list[Path]]:
    """Images by source: the first folder below a given folder, or the folder that holds them.

    Raises
    ------
    InputError
        When a path does not exist or nothing below it can be read.
    """
    sources: dict[str, list[Path]] = {}
    for given in paths:
        if not given.exists():
            raise InputError(f"{given}: no such file or folder")
        files = [given] if given.is_file() else sorted(path for path in given.rglob("*") if _is_image(path))
        if not files:
            raise InputError(f"{given}: no images below this folder; expected {', '.join(READERS)}")
        for path in files:
            below = path.relative_to(given).parts if given.is_dir() else ()
            name = below[0] if len(below) > 1 else path.absolute().parent.name
            sources.setdefault(name, []).append(path)
    return sources


def _is_image(path: Path) -> bool:
    hidden = path.name.startswith(".")
    return path.is_file() and not hidden and any(path.name.lower().endswith(suffix) for suffix in READERS)


def evaluate(settings: EvaluationSettings, report: Report = lambda *_: None) -> Evaluation:
    """Measure the prior against the wavelet denoiser, which is tuned with the truth for each source and noise level.

    Raises
    ------
    BadInputError
        When weights or images cannot be used.
    """
    prior = load_prior(settings.weights, settings.device)
    sources = {
        name: _spread(load_images(files), settings.limit) for name, files in find_sources(settings.images).items()
    }
    rows, columns = [], {name: list[npt.NDArray[np.uint8]]() for name in sources}
    n_images = sum(map(len, sources.values())) * len(settings.sigmas)
    n_done = 0
    for sigma in settings.sigmas:
        at_level = []
        for name, images in sources.items():
            report(n_done, n_images, "images", f"{name} at sigma {sigma:g}")
            n_done += len(images)
            tuned, reference = _oracle_wavelet(images, sigma, settings)
            denoiser = _on_device(prior, settings.device)
            found = compare(denoiser, reference, images, sigma, source=name, seed=settings.seed)
            at_level.append(found)
            rows.append(Row(found, tuned))
            columns[name].append(picture_row(images[len(images) // 2], sigma, denoiser, reference, settings.seed))
        if len(at_level) > 1:
            rows.append(Row(pooled(at_level), None))
    levels = [f"sigma {sigma:g}" for sigma in settings.sigmas]
    pictures = {name: with_labels(np.concatenate(parts, axis=0), COLUMNS, levels) for name, parts in columns.items()}
    return Evaluation(settings.weights.name, prior.sha256, settings.seed, tuple(rows), pictures)


def _spread(images: Sequence[Tensor], limit: int | None) -> list[Tensor]:
    """At most `limit` of the images, evenly spaced."""
    if limit is None or len(images) <= limit:
        return list(images)
    return [images[round((i + 0.5) * len(images) / limit - 0.5)] for i in range(limit)]


def _oracle_wavelet(
    images: Sequence[Tensor], sigma: float, settings: EvaluationSettings
) -> tuple[WaveletDenoiseSettings, MeanDenoiser]:
    candidates = [candidate for candidate in CANDIDATES if candidate.rule in settings.rules]
    scenes = [draw_clean_and_noise(image, settings.seed + i) for i, image in enumerate(_spread(images, TUNING_IMAGES))]
    tuned = oracle_settings([x for x, _ in scenes], [x + sigma * n for x, n in scenes], sigma, candidates)
    return tuned, lambda noisy, level: wavelet_denoise(noisy, level, tuned)


def _on_device(prior: EDMPrior, device: str) -> MeanDenoiser:
    return lambda noisy, sigma: prior.denoiser.denoise(noisy.to(device), sigma).cpu()


def picture_row(
    image: Tensor, sigma: float, prior: MeanDenoiser, wavelet: MeanDenoiser, seed: int
) -> npt.NDArray[np.uint8]:
    """Side by side: clean, noisy, prior, wavelet (window 0 to 1.1), then the errors of both, five times as bright."""
    clean, noise = draw_clean_and_noise(image, seed)
    noisy = clean + sigma * noise
    estimates = [prior(noisy, sigma), wavelet(noisy, sigma)]
    tiles = [clean.abs(), noisy.abs(), *(x.abs() for x in estimates)]
    tiles += [ERROR_GAIN * (x - clean).abs() for x in estimates]
    pixels = torch.cat(tiles, dim=1).div(1.1).clamp(0, 1).mul(255).round().to(torch.uint8)
    return np.asarray(pixels.numpy())
