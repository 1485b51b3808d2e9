"""Train a prior from magnitude images. Needs torch, numpy, pillow and safetensors only.

The batch of step k depends on (seed, k) alone, so that a resumed run repeats what an unbroken one would have done.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from nilatron.core.errors import BadInputError
from nilatron.core.prior.augment import AugmentSettings, draw_batch, image_scale
from nilatron.core.prior.edm import EDMDenoiser
from nilatron.core.prior.loss import denoising_loss, draw_sigma
from nilatron.core.prior.unet import ARCHITECTURES
from nilatron.core.prior.weights import save_prior

log = logging.getLogger(__name__)

VALIDATION_SIGMAS = (0.02, 0.05, 0.1, 0.2)  # complex, image scale 1


@dataclass(frozen=True)
class TrainSettings:
    """One training run."""

    architecture: str = "default"  # a key of core.prior.unet.ARCHITECTURES
    steps: int = 20_000
    batch_size: int = 8  # patches of the smallest size; fewer of the larger ones, to the same number of pixels
    patch_sizes: tuple[int, ...] = (96, 96, 96, 128, 192)  # one is drawn for each step
    learning_rate: float = 1e-3
    final_learning_rate: float = 1e-5
    warm_up_steps: int = 300
    decay_fraction: float = 0.5  # of all steps, at the end, with a cosine decay; before it the rate is constant
    weight_decay: float = 1e-4
    clip_norm: float = 1.0
    ema_half_life_images: int = 20_000
    seed: int = 0
    bf16: bool = True
    checkpoint_every: int = 500  # steps
    log_every: int = 100  # steps


class TrainingError(BadInputError):
    """Training data or a checkpoint that cannot be used."""


def load_magnitudes(folder: Path) -> list[Tensor]:
    """All grey PNG images below `folder`, as float16 tensors (y, x) of image scale 1."""
    from PIL import Image

    images = []
    for path in sorted(folder.rglob("*.png")):
        with Image.open(path) as picture:
            pixels = torch.from_numpy(np.asarray(picture.convert("L"), dtype=np.float32))
        if float(pixels.max()) > 0:
            images.append((pixels / image_scale(pixels)).to(torch.float16))
    if not images:
        raise TrainingError(f"no PNG images below {folder}: give a folder of grey magnitude images")
    return images


def measure_sigma_data(images: Sequence[Tensor]) -> float:
    """Root mean square of one real component over the images, sqrt(mean |x|^2 / 2)."""
    power = float(np.mean([float((image.to(torch.float32) ** 2).mean()) for image in images]))
    return round(math.sqrt(power / 2), 4)


def learning_rate(step: int, settings: TrainSettings) -> float:
    """Linear warm-up, constant, then a cosine decay over the last part of the run."""
    warm = min(1.0, (step + 1) / settings.warm_up_steps)
    decay_steps = max(1.0, settings.decay_fraction * settings.steps)
    done = min(1.0, max(0.0, (step - (settings.steps - decay_steps)) / decay_steps))
    low, high = settings.final_learning_rate, settings.learning_rate
    return warm * (low + (high - low) * (1 + math.cos(math.pi * done)) / 2)


class Trainer:
    """Model, optimiser and moving average, with one checkpoint file in `folder`."""

    def __init__(
        self,
        images: Sequence[Tensor],
        settings: TrainSettings,
        folder: Path,
        device: str = "cpu",
        notes: Mapping[str, str] | None = None,
    ) -> None:
        if settings.architecture not in ARCHITECTURES:
            raise TrainingError(f"unknown architecture {settings.architecture!r}: choose from {sorted(ARCHITECTURES)}")
        torch.manual_seed(settings.seed)
        self.images, self.settings, self.folder, self.device = images, settings, folder, device
        self.notes = dict(notes or {})  # for the metadata of the weights, e.g. data and licence
        self.sigma_data = measure_sigma_data(images)
        self.model = EDMDenoiser(ARCHITECTURES[settings.architecture], self.sigma_data).to(device)
        self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = {name: value.clone() for name, value in self.model.state_dict().items()}
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=settings.learning_rate, betas=(0.9, 0.99), weight_decay=settings.weight_decay
        )
        self.step = 0

    @property
    def checkpoint(self) -> Path:
        """The file that `resume` reads."""
        return self.folder / "checkpoint.safetensors"

    def train_step(self) -> float:
        """Draw the batch of this step, update the weights and their average, return the loss."""
        s = self.settings
        generator = torch.Generator().manual_seed(s.seed * 1_000_003 + self.step)
        size = s.patch_sizes[int(torch.randint(0, len(s.patch_sizes), (), generator=generator))]
        n_patches = max(1, s.batch_size * min(s.patch_sizes) ** 2 // size**2)
        clean = draw_batch(self.images, n_patches, size, AugmentSettings(), generator)
        sigma = draw_sigma(n_patches, generator)
        noise = torch.randn(clean.shape, generator=generator)
        clean, sigma, noise = (t.to(self.device) for t in (clean, sigma, noise))
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.step, s)
        with torch.autocast(self.device, dtype=torch.bfloat16, enabled=s.bf16):
            loss = denoising_loss(self.model, clean.contiguous(memory_format=torch.channels_last), sigma, noise)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), s.clip_norm)
        self.optimizer.step()
        self.step += 1
        self._update_average()
        return float(loss.detach())

    def _update_average(self) -> None:
        half_life = min(self.settings.ema_half_life_images, 0.05 * self.step * self.settings.batch_size + 1)
        keep = 0.5 ** (self.settings.batch_size / half_life)
        for name, value in self.model.state_dict().items():
            self.average[name].lerp_(value, 1 - keep)

    def run(self) -> None:
        """Train to the last step, writing checkpoints and the averaged weights on the way."""
        self.folder.mkdir(parents=True, exist_ok=True)
        total, since = 0.0, 0
        while self.step < self.settings.steps:
            loss = self.train_step()
            if not math.isfinite(loss):
                raise TrainingError(f"the loss became {loss} at step {self.step}: lower the learning rate")
            total, since = total + loss, since + 1
            if self.step % self.settings.log_every == 0:
                log.info("step %d of %d, loss %.4f", self.step, self.settings.steps, total / since)
                total, since = 0.0, 0
            if self.step % self.settings.checkpoint_every == 0 or self.step == self.settings.steps:
                self.save()

    def averaged(self) -> EDMDenoiser:
        """The denoiser with the moving average of the weights."""
        model = EDMDenoiser(ARCHITECTURES[self.settings.architecture], self.sigma_data)
        model.load_state_dict({name: value.cpu() for name, value in self.average.items()})
        return model.eval()

    def save(self) -> None:
        """Replace the checkpoint and the exported weights, each in one step."""
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{k}": torch.as_tensor(v) for k, v in state.items()}
        tensors = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
        partial = self.checkpoint.with_suffix(".partial")
        save_file(tensors, partial, metadata={"step": str(self.step), "settings": json.dumps(asdict(self.settings))})
        partial.replace(self.checkpoint)
        metadata = self.notes | {
            "trained_steps": str(self.step),
            "training": json.dumps(asdict(self.settings)),
            "n_training_images": str(len(self.images)),
            "scale_convention": "99.5th percentile of the image magnitude is 1",
        }
        exported = self.folder / "prior.partial"
        save_prior(exported, self.averaged(), metadata)
        exported.replace(self.folder / "prior.safetensors")

    def resume(self) -> None:
        """Continue from the checkpoint; the architecture must be the one it was made with."""
        if not self.checkpoint.is_file():
            raise TrainingError(f"nothing to resume: no {self.checkpoint}")
        with safe_open(self.checkpoint, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        made_with = json.loads(metadata.get("settings", "{}")).get("architecture")
        if made_with != self.settings.architecture:
            raise TrainingError(f"{self.checkpoint} holds a {made_with!r} network, not {self.settings.architecture!r}")
        self.model.load_state_dict({k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")})
        self.average = {
            k.removeprefix("average."): v.to(self.device) for k, v in tensors.items() if k.startswith("average.")
        }
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            if name.startswith("optimizer."):
                _, index, key = name.split(".")
                state.setdefault(int(index), {})[key] = value
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})
        self.step = int(metadata["step"])


def error_table(denoiser: EDMDenoiser, images: Sequence[Tensor]) -> str:
    """`validate` at the levels of `VALIDATION_SIGMAS`, as JSON for the metadata of weights."""
    errors = validate(denoiser, images, VALIDATION_SIGMAS)
    return json.dumps({f"{sigma:g}": round(error, 5) for sigma, error in errors.items()})


def validate(
    denoiser: EDMDenoiser, images: Sequence[Tensor], sigmas: Sequence[float], seed: int = 0
) -> dict[float, float]:
    """Root mean square error per real component of D at complex noise levels `sigmas`, with synthetic phase."""
    device = next(denoiser.parameters()).device
    errors: dict[float, float] = {}
    for sigma in sigmas:
        generator = torch.Generator().manual_seed(seed)
        clean = draw_batch(images, 48, 192, AugmentSettings.phase_only(), generator)
        x = torch.complex(clean[:, 0], clean[:, 1])
        noise = torch.complex(torch.randn(x.shape, generator=generator), torch.randn(x.shape, generator=generator))
        estimate = denoiser.denoise((x + sigma / math.sqrt(2) * noise).to(device), sigma).cpu()
        errors[sigma] = math.sqrt(float((estimate - x).abs().square().mean()) / 2)
    return errors
