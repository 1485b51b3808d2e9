"""The network by every engine: how long until it is ready, how long an evaluation takes, and how far from float32."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch

from gpu.findings import Findings
from gpu.place import waiter
from gpu.precision import full_float32
from gpu.size import Size
from gpu.timing import Stopwatch
from nilatron.core.phantom import phantom
from nilatron.core.prior.edm import ChannelDenoiser, denoise_complex
from nilatron.core.prior.edm_weights import EDMPrior, load_prior
from nilatron.core.prior.engines.choose import engine_for
from nilatron.core.prior.engines.engine import Engine
from nilatron.core.prior.engines.packages import EngineError, is_installed
from nilatron.core.prior.engines.settings import EngineSettings
from nilatron.core.prior.engines.torch_engine import DTYPES
from nilatron.core.prior.unet import lower_precision
from nilatron.gadgets.conventional import FAILURES

LEVELS = (0.8, 0.2, 0.03)  # of the sampler: first, middle, last
LIMITS = {"fp32": 2e-3, "fp16": 1e-2, "bf16": 2e-2}  # relative; convolutions in fp32 are TF32 on a GPU by default
BATCH = 8  # images at once, beside one


class AbsentError(RuntimeError):
    """An engine that this machine or installation lacks."""


@dataclass
class Kept:
    """A `ModelCache` of this process, so that a network is exported once and an engine is always built."""

    models: dict[str, bytes] = field(default_factory=dict)

    def read(self, kind: str, key: object) -> bytes | None:
        """The model kept under a key."""
        return self.models.get(f"{kind} {key}")

    def write(self, kind: str, key: object, content: bytes) -> None:
        """Keep a model, but no engine of TensorRT."""
        if kind == "onnx":
            self.models[f"{kind} {key}"] = content


@dataclass(frozen=True)
class Candidate:
    """An engine to try: its name, the precision of its convolutions, the images it is given at once, and what makes it."""

    name: str
    precision: str
    batches: tuple[int, ...]
    make: Callable[[], Engine]


def candidates(prior: EDMPrior, device: str) -> Iterator[Candidate]:
    """Quick ones first."""
    kept = Kept()

    def chosen(engine: str, precision: str, on: str = device) -> Engine:
        return engine_for(prior, EngineSettings(engine, precision), on, lambda: kept)

    def tensorrt() -> Engine:
        if device == "cpu" or not is_installed("tensorrt"):
            raise AbsentError("no GPU" if device == "cpu" else "the package tensorrt is not installed")
        return chosen("tensorrt", "fp16")

    def graph(precision: str) -> Engine:
        if device == "cpu":
            raise AbsentError("no GPU")
        return chosen("torch", precision)

    def onnx(on: str) -> Engine:
        try:
            return chosen("onnx", "auto", on)
        except (EngineError, ValueError) as error:
            raise AbsentError(str(error)) from error

    both = (1, BATCH)
    yield Candidate("torch", "fp32", both, lambda: eager(prior, "fp32"))
    yield Candidate("torch", "bf16", both, lambda: eager(prior, "bf16"))
    for precision in ("bf16", "fp16", "fp32"):
        yield Candidate("CUDA graph", precision, both, lambda precision=precision: graph(precision))  # type: ignore[misc]
    if device != "cpu":
        yield Candidate("ONNX Runtime on the GPU", "fp16", both, lambda: onnx(device))
    yield Candidate("TensorRT", "fp16", (1,), tensorrt)  # each number of images is an engine of its own
    yield Candidate("ONNX Runtime on the CPU", "fp32", both, lambda: onnx("cpu"))


def eager(prior: EDMPrior, precision: str) -> Engine:
    """Torch without a graph."""
    denoiser = copy.deepcopy(prior.denoiser)
    lower_precision(denoiser.network, DTYPES[precision])
    return Engine(denoiser, f"torch {precision}")


def measure(found: Findings, device: str, size: Size) -> None:
    """A row for each engine and number of images, and a bar for how far each is from torch in float32."""
    prior, watch = load_prior(size.weights, device), Stopwatch(waiter(device), size)
    for candidate in candidates(prior, device):
        name = f"{candidate.name} {candidate.precision}"
        try:
            error = rows(found, watch, candidate, prior, device, size)
        except AbsentError as absent:
            found.leave_out(candidate.name, str(absent))
            continue
        except FAILURES as failure:
            found.note(f"{name}: {type(failure).__name__}: {failure}")
            error = math.inf
        found.judge(f"{name}, relative difference to float32", error, LIMITS[candidate.precision])


def rows(found: Findings, watch: Stopwatch, candidate: Candidate, prior: EDMPrior, device: str, size: Size) -> float:
    """Time the engine; the largest of its differences.

    Raises
    ------
    RuntimeError
        When another engine computed in its place.
    """
    engines: list[Engine] = []
    made_s, worst = watch.once(lambda: engines.append(candidate.make())), 0.0
    (engine,) = engines
    if engine.remark():
        raise RuntimeError(engine.remark())
    for n_images in candidate.batches:
        images = noisy_images(n_images, size, LEVELS[1]).to(device)
        first_s = watch.once(lambda images=images: denoise_complex(engine.denoiser, images, LEVELS[1]))  # type: ignore[misc]
        times = watch.times(lambda images=images: denoise_complex(engine.denoiser, images, LEVELS[1]))  # type: ignore[misc]
        error = difference(engine.denoiser, prior.denoiser, n_images, size, device)
        if engine.remark():
            raise RuntimeError(engine.remark())
        found.add_row(
            "One evaluation of the network",
            {
                "engine": candidate.name,
                "precision": candidate.precision,
                "images": n_images,
                "median / ms": times.median_ms,
                "worst / ms": times.worst_ms,
                "ms an image": times.median_ms / n_images,
                "made in / s": made_s,
                "first call / s": first_s,
                "difference": error,
            },
        )
        worst = max(worst, error)
    return worst


def difference(channels: ChannelDenoiser, reference: ChannelDenoiser, n_images: int, size: Size, device: str) -> float:
    """Largest relative difference over the levels."""
    errors = []
    for level in LEVELS:
        x, before = (noisy_images(n_images, size, noise).to(device) for noise in (level, 0.1 * level))
        found = denoise_complex(channels, x, level, before)
        with full_float32():
            expected = denoise_complex(reference, x, level, before)
        errors.append(float(torch.linalg.vector_norm(found - expected) / torch.linalg.vector_norm(expected)))
    return max(errors)


def noisy_images(n_images: int, size: Size, sigma: float) -> torch.Tensor:
    """Phantoms of scale 1 with noise, (n_images, y, x)."""
    clean = torch.from_numpy(phantom((1, size.matrix, size.matrix)))
    generator = torch.Generator().manual_seed(n_images)
    return clean + sigma * torch.randn((n_images, *clean.shape[1:]), dtype=torch.complex64, generator=generator)
