"""Priors trained with phases drawn by a diffusion model against priors trained with synthetic ones.

usage: python benchmarks/phase_models.py --data DIR OUT [--phase-steps 2000] [--prior-steps 1000] [--n-magnitudes 60]

DIR holds kspace/complex_t2_28.h5, kspace/coil_maps_dev.h5, magnitude/train and magnitude/val. In turn:

1. complex training images: the first 14 T2 slices times measured relative phases of the first 5 coils of each set of maps
2. the phase model, architecture tiny, from these
3. phases for magnitude images of magnitude/train
4. two priors, architecture tiny, same images, seed and steps: synthetic phase, and learned phase
5. errors of both on magnitude/val with synthetic phase, and on the other 14 T2 slices with phases of the other coils
6. picture.png: magnitude, learned phase, synthetic phase, measured phase

What OUT holds already is not made again.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from scipy import ndimage
from torch import Tensor

from nilatron.core.prior.augment import AugmentSettings, draw_batch, synthetic_phase
from nilatron.core.prior.edm import EDMDenoiser
from nilatron.core.prior.edm_weights import load_prior
from nilatron.core.prior.loss import NoiseDistribution
from nilatron.core.scale import image_scale
from nilatron.pipelines.training.images import load_images
from nilatron.pipelines.training.phases import PhaseJob, write_phases
from nilatron.pipelines.training.processes import launch
from nilatron.pipelines.training.settings import ComputeSettings, MonitorSettings, TrainSettings
from nilatron.pipelines.training.train import Trainer

N_TRAINING_SLICES, N_TRAINING_COILS = 14, 5
SIGMAS = (0.02, 0.05, 0.1, 0.2)
Complex = npt.NDArray[np.complex64]


def main() -> None:
    """Run the steps that have not been run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("out", type=Path)
    parser.add_argument("--phase-steps", type=int, default=2000)
    parser.add_argument("--prior-steps", type=int, default=1000)
    parser.add_argument("--n-magnitudes", type=int, default=60)
    a = parser.parse_args()
    weights = train_phase_model(a.data / "kspace", a.out / "phase", a.phase_steps)
    files = some_files(a.data / "magnitude" / "train", a.n_magnitudes)
    magnitudes = load_images(files)
    if not (a.out / "learned").is_dir():
        began = time.perf_counter()
        n_drawn = write_phases(PhaseJob(tuple(files), a.out / "learned", weights))
        print(f"learned phases: {(time.perf_counter() - began) / n_drawn:.1f} s an image", flush=True)
    learned = load_images([a.out / "learned"])
    describe(magnitudes, learned, a.data / "kspace")
    save_picture(a.out / "picture.png", magnitudes, learned, a.data / "kspace")
    compare({"synthetic": magnitudes, "learned": learned}, a.data, a.out, a.prior_steps)


def some_files(folder: Path, n: int) -> list[Path]:
    """Evenly spaced among all pictures, so that every source is there."""
    files = sorted(folder.rglob("*.png"))
    return [files[int(k * len(files) / n)] for k in range(n)]


def measured_images(folder: Path, *, held_out: bool, per_slice: int, seed: int) -> list[Complex]:
    """Complex T2 slices times measured coil phases; those of training, or the held-out ones."""
    rng = np.random.default_rng(seed)
    slices, coils = slice(N_TRAINING_SLICES), slice(N_TRAINING_COILS)
    if held_out:
        slices, coils = slice(N_TRAINING_SLICES, None), slice(N_TRAINING_COILS, None)
    with h5py.File(folder / "complex_t2_28.h5") as file:
        objects = file["image"][slices]
    with h5py.File(folder / "coil_maps_dev.h5") as file:
        sets = [file[name][coils] for name in file]
    return [
        (x * coil_phasor(sets[rng.integers(len(sets))], x.shape, rng)).astype(np.complex64)
        for x in objects
        for _ in range(per_slice)
    ]


def coil_phasor(maps: Complex, shape: tuple[int, ...], rng: np.random.Generator) -> Complex:
    """e^{i phase} of one coil relative to another one, on a random part of the field of view.

    ESPIRiT maps are known up to a common phase, so that only the relative one is measured. Outside the maps' support it is
    continued by its nearest values, smoothed.
    """
    coil, reference = rng.permutation(len(maps))[:2]
    product = maps[coil] * maps[reference].conj()
    inside = ndimage.binary_erosion(np.abs(maps).sum(0) > 0, iterations=6)
    nearest = ndimage.distance_transform_edt(~inside, return_distances=False, return_indices=True)
    product = product[tuple(nearest)]
    product = ndimage.gaussian_filter(product.real, 3) + 1j * ndimage.gaussian_filter(product.imag, 3)
    sides = [int(n * rng.uniform(0.6, 1)) for n in product.shape]
    corner = [rng.integers(0, n - side + 1) for n, side in zip(product.shape, sides, strict=True)]
    part = product[corner[0] : corner[0] + sides[0], corner[1] : corner[1] + sides[1]]
    part = np.rot90(part, rng.integers(4))[:: rng.choice((-1, 1))]
    zoom = [new / old for new, old in zip(shape, part.shape, strict=True)]
    part = ndimage.zoom(part.real, zoom, order=1) + 1j * ndimage.zoom(part.imag, zoom, order=1)
    return np.exp(1j * np.angle(part)).astype(np.complex64)


def at_scale_one(image: Complex) -> Tensor:
    """Complex image of image scale 1."""
    x = torch.from_numpy(image)
    return x / image_scale(x)


def train_phase_model(folder: Path, out: Path, steps: int) -> Path:
    """Weights of the phase model. Phases are coarse, which high noise levels decide: theirs are those the README gives."""
    images = measured_images(folder, held_out=False, per_slice=16, seed=0)
    return train([at_scale_one(x) for x in images], out, steps, 128, NoiseDistribution(ln_mean=-1.2))


def train(images: Sequence[Tensor], folder: Path, steps: int, patch_size: int, noise: NoiseDistribution) -> Path:
    """Weights of a tiny network."""
    weights = folder / "prior.safetensors"
    if weights.is_file() and load_prior(weights).metadata["trained_steps"] == str(steps):
        return weights
    settings = TrainSettings(
        architecture="tiny",
        steps=steps,
        batch_size=4,
        patch_sizes=(patch_size,),
        learning_rate=2e-3,
        warm_up_steps=50,
        noise=noise,
        bf16=False,
        ema_half_life_images=1000,
        monitor=MonitorSettings(tensorboard=False),
        compute=ComputeSettings(device="cpu"),
    )
    trainer = Trainer(images, settings, folder, launch(settings))
    began = time.perf_counter()
    trainer.run()
    seconds = time.perf_counter() - began
    print(f"{folder.name}: {len(images)} images, {steps} steps, {seconds / steps:.2f} s a step", flush=True)
    return weights


def compare(training: Mapping[str, Sequence[Tensor]], data: Path, out: Path, steps: int) -> None:
    """Print the errors of priors that were trained with each kind of phase."""
    priors = {
        name: load_prior(train(images, out / f"prior_{name}", steps, 64, NoiseDistribution())).denoiser
        for name, images in training.items()
    }
    channels = draw_batch(
        load_images([data / "magnitude" / "val"]),
        24,
        192,
        AugmentSettings.phase_only(),
        torch.Generator().manual_seed(0),
    )
    measured = measured_images(data / "kspace", held_out=True, per_slice=1, seed=1)
    held_out = {
        "magnitude/val, synthetic phase": torch.complex(channels[:, 0], channels[:, 1]),
        "complex T2, measured phase": torch.stack([at_scale_one(x) for x in measured]),
    }
    for title, clean in held_out.items():
        for sigma in SIGMAS:
            errors = {name: rmse(denoiser, clean, sigma) for name, denoiser in priors.items()}
            words = ", ".join(f"{name} {error:.5f}" for name, error in errors.items())
            change = 100 * (errors["learned"] / errors["synthetic"] - 1)
            print(f"{title}: sigma {sigma:g}: {words}, learned {change:+.2f} %", flush=True)


def rmse(denoiser: EDMDenoiser, clean: Tensor, sigma: float) -> float:
    """Root mean square error per real component of D at a complex noise level, for images (n, y, x)."""
    generator = torch.Generator().manual_seed(0)
    squares = 0.0
    for x in clean:
        noise = torch.randn(x.shape, dtype=torch.complex64, generator=generator)
        squares += float((denoiser.denoise((x + sigma * noise)[None], sigma)[0] - x).abs().square().mean())
    return math.sqrt(squares / len(clean) / 2)


def describe(magnitudes: Sequence[Tensor], learned: Sequence[Tensor], folder: Path) -> None:
    """Print how smooth each kind of phase is where there is signal."""
    generator = torch.Generator().manual_seed(0)
    kinds = {
        "learned": learned,
        "synthetic": [with_synthetic_phase(m, generator) for m in magnitudes],
        "measured": [at_scale_one(x) for x in measured_images(folder, held_out=True, per_slice=2, seed=1)],
    }
    for name, images in kinds.items():
        slopes, singularities = zip(*(smoothness(x) for x in images), strict=True)
        print(
            f"{name} phase: median slope {1000 * float(np.median(slopes)):.0f} mrad a pixel, "
            f"{float(np.mean(singularities)):.1f} singularities an image (median {float(np.median(singularities)):g})"
        )


def smoothness(x: Tensor) -> tuple[float, int]:
    """Median phase difference of neighbours, and closed loops of 2 x 2 pixels around which the phase turns once."""
    bright = x.abs() > 0.2
    down, right = (x[1:] * x[:-1].conj()).angle(), (x[:, 1:] * x[:, :-1].conj()).angle()
    loop = (right[:-1] + down[:, 1:] - right[1:] - down[:, :-1]).abs() > math.pi
    inside = bright[1:, 1:] & bright[1:, :-1] & bright[:-1, 1:] & bright[:-1, :-1]
    return float(right[bright[:, 1:] & bright[:, :-1]].abs().median()), int((loop & inside).sum())


def with_synthetic_phase(magnitude: Tensor, generator: torch.Generator) -> Tensor:
    """Complex image."""
    n_y, n_x = magnitude.shape
    return torch.polar(magnitude.float(), synthetic_phase((n_y, n_x), AugmentSettings(), generator))


def save_picture(path: Path, magnitudes: Sequence[Tensor], learned: Sequence[Tensor], folder: Path) -> None:
    """Six columns; rows: magnitude, learned, synthetic, measured phase as hue, darker where there is less signal."""
    generator = torch.Generator().manual_seed(0)
    chosen = [int((k + 0.5) * len(magnitudes) / 6) for k in range(6)]
    measured = [at_scale_one(x) for x in measured_images(folder, held_out=True, per_slice=1, seed=2)[1::2]]
    rows = [
        [grey(magnitudes[k]) for k in chosen],
        [hue(learned[k]) for k in chosen],
        [hue(with_synthetic_phase(magnitudes[k], generator)) for k in chosen],
        [hue(x) for x in measured[:6]],
    ]
    Image.fromarray(np.vstack([np.hstack(row) for row in rows])).save(path)


def grey(magnitude: Tensor) -> npt.NDArray[np.uint8]:
    """One tile (256, 256, 3)."""
    white = np.clip(255 * magnitude.float().numpy(), 0, 255).astype(np.uint8)
    return np.array(Image.fromarray(white).convert("RGB").resize((256, 256)))


def hue(x: Tensor) -> npt.NDArray[np.uint8]:
    """One tile (256, 256, 3); full brightness from 30 % of the image scale on."""
    turn = (255 * (x.angle() / (2 * math.pi) + 0.5)).to(torch.uint8)
    value = (x.abs() * (255 / 0.3)).clamp(40, 255).to(torch.uint8)
    channels = torch.stack((turn, torch.full_like(turn, 255), value), -1).numpy()
    return np.array(Image.fromarray(channels, "HSV").convert("RGB").resize((256, 256)))


if __name__ == "__main__":
    main()
