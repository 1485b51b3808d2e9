"""The prior as an ONNX file that agrees with torch, and TensorRT engines ahead of their first use."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nilatron.core.phantom import phantom
from nilatron.core.prior.edm import ChannelDenoiser, denoise_complex, padded_size
from nilatron.core.prior.edm_weights import EDMPrior, load_prior
from nilatron.core.prior.engines.onnx.engine import OnnxDenoiser
from nilatron.core.prior.engines.onnx.export import DTYPES, cached_onnx, lower_for_export
from nilatron.core.prior.engines.onnx.file import OnnxModel
from nilatron.core.prior.engines.packages import EngineError, import_package
from nilatron.core.sampling.image import network_shapes
from nilatron.gadgets.engine_cache import user_cache
from nilatron.gadgets.nila.settings import NilaNodeSettings
from nilatron.pipelines.files.atomic import InputError, atomic_path

_NILA = NilaNodeSettings()
SIGMAS = (*_NILA.levels(), _NILA.sample_sigma_min)  # image and samples
SIZES = ((64, 64), (230, 179), (256, 320))
LIMITS = {"fp32": 1e-3, "fp16": 1e-2}  # relative error
Report = Callable[[float, float, str, str], None]  # done, total, unit, what is being done


@dataclass(frozen=True)
class ExportSettings:
    """What is exported where.

    Attributes
    ----------
    output
        File to write.
    weights
        Of the prior, safetensors.
    precision
        Of the convolutions: fp32 or fp16.
    overwrite
        Replace the file if it exists.
    """

    output: Path
    weights: Path
    precision: str = "fp32"
    overwrite: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be written, before the work."""
        if self.precision not in LIMITS:
            raise InputError(f"precision must be {' or '.join(LIMITS)}, got {self.precision!r}")
        if self.output.suffix != ".onnx":
            raise InputError(f"{self.output}: the name of an ONNX file has to end in .onnx, by which it is recognised")
        if self.output.exists() and not self.overwrite:
            raise InputError(f"{self.output} exists: give --overwrite to replace it")


@dataclass(frozen=True)
class Agreement:
    """Relative errors |D - D_torch| / |D_torch| of one denoiser.

    Attributes
    ----------
    name
        Of what computed D: matrix size, and arithmetic where it is not the runtime's.
    errors
        One of each of `SIGMAS`.
    """

    name: str
    errors: tuple[float, ...]

    @property
    def worst(self) -> float:
        """The largest error; not a number counts as infinite."""
        return max(math.inf if math.isnan(error) else error for error in self.errors)


@dataclass(frozen=True)
class ExportReport:
    """What was written, and how well it agrees with torch."""

    model: OnnxModel
    agreements: tuple[Agreement, ...]
    limit: float


def export(settings: ExportSettings, report: Report) -> ExportReport:
    """Write the file; it stays only if it agrees with torch at all noise levels and sizes.

    Raises
    ------
    WeightsError
        When the weights cannot be used.
    EngineError
        When a package is missing.
    InputError
        When the file cannot be written, or does not agree.
    """
    for package in ("onnx", "onnxscript", "onnxruntime"):
        import_package(package)
    prior, limit = load_prior(settings.weights), LIMITS[settings.precision]
    with atomic_path(settings.output) as waiting:
        report(0, 0, "files", "exporting (a minute or two)")
        model = cached_onnx(prior, settings.precision, user_cache())
        waiting.write_bytes(model.content)
        agreements = list(compare(prior, model, report))
        worst = max(agreements, key=lambda found: found.worst)
        if not worst.worst <= limit:
            raise InputError(
                f"{settings.output} is not written: its D differs from torch's by {worst.worst:.2g} at {worst.name}, more "
                f"than the {limit:g} of {settings.precision}; use --precision fp32, or another version of torch or ONNX "
                "Runtime"
            )
    return ExportReport(model, tuple(agreements), limit)


def compare(prior: EDMPrior, model: OnnxModel, report: Report = lambda *_: None) -> Iterator[Agreement]:
    """Agreement of `model`, run by ONNX Runtime on the CPU, with torch in float32.

    For fp16, whose convolutions that runtime computes in float32 there, also that of torch in fp16, which rounds as a GPU
    does.
    """
    session: ChannelDenoiser = OnnxDenoiser(model, "cpu")
    jobs = [("x".join(map(str, size)), session, size) for size in SIZES]
    if model.facts.precision != "fp32":
        rounded = copy.deepcopy(prior.denoiser)
        lower_for_export(rounded.network, DTYPES[model.facts.precision])
        jobs.append((f"64x64 in {model.facts.precision}", rounded, SIZES[0]))
    total = sum(math.prod(size) for _, _, size in jobs) * len(SIGMAS)  # pixels, which are what takes time
    done = 0
    for name, channels, size in jobs:

        def checked(k: int, name: str = name, size: tuple[int, int] = size, before: int = done) -> None:
            percent = 100 * (before + k * math.prod(size)) / total
            report(round(percent), 100, "% of the check", f"{name}, noise level {k} of {len(SIGMAS)}")

        yield agreement(name, channels, prior.denoiser, size, checked)
        checked(len(SIGMAS))
        done += math.prod(size) * len(SIGMAS)


def agreement(
    name: str,
    channels: ChannelDenoiser,
    reference: ChannelDenoiser,
    size: tuple[int, int],
    checked: Callable[[int], None] = lambda _: None,
) -> Agreement:
    """Relative errors for two noisy phantoms of a matrix size, one after the other and, for odd levels, as a batch.

    `checked` is called with the number of levels that are done.
    """
    errors = []
    for k, sigma in enumerate(SIGMAS):
        checked(k)
        x, before = (noisy_phantom(size, noise, seed=k, n_images=1 + k % 2) for noise in (sigma, 0.1 * sigma))
        expected = denoise_complex(reference, x, sigma, before)
        found = denoise_complex(channels, x, sigma, before)
        errors.append(float(torch.linalg.vector_norm(found - expected) / torch.linalg.vector_norm(expected)))
    return Agreement(name, tuple(errors))


def noisy_phantom(size: tuple[int, int], sigma: float, seed: int, n_images: int) -> Tensor:
    """Complex images of scale 1 with noise of complex standard deviation sigma, (n_images, y, x)."""
    clean = torch.from_numpy(phantom((1, *size)))
    generator = torch.Generator().manual_seed(seed)
    return clean + sigma * torch.randn((n_images, *size), dtype=torch.complex64, generator=generator)


def padded_shape(sizes: Sequence[int], multiple: int) -> tuple[int, int, int]:
    """(S, H, W) that an engine is given for S images of y x x pixels."""
    n, n_y, n_x = sizes
    return n, padded_size(n_y, multiple), padded_size(n_x, multiple)


def check_tensorrt() -> Any:
    """TensorRT's package.

    Raises
    ------
    EngineError
        When it is not installed, or there is no GPU.
    """
    trt = import_package("tensorrt")
    if not torch.cuda.is_available():
        raise EngineError("TensorRT engines are built on the GPU that runs them, and torch finds none here")
    return trt


def build_tensorrt(weights: Path, precision: str, sizes: Sequence[Sequence[int]], report: Report) -> None:
    """Put TensorRT engines for all shapes at which the sampler's network sees images (S, y, x) into the user's cache.

    Raises
    ------
    EngineError
        When there is no GPU or no TensorRT, or it cannot build one.
    """
    from nilatron.core.prior.engines.tensorrt_build import Builder
    from nilatron.core.prior.engines.tensorrt_engine import this_gpu

    model = cached_onnx(load_prior(weights), precision, user_cache())
    builder = Builder(check_tensorrt(), model, this_gpu(), user_cache())
    shapes = [size for n, n_y, n_x in sizes for size in network_shapes((n, n_y, n_x))]
    for number, size in enumerate(shapes):
        report(number, len(shapes), "engines", "TensorRT engine for " + "x".join(map(str, size)))
        builder.engine(padded_shape(size, model.facts.multiple))
