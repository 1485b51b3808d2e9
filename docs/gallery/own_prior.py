"""
A prior of one's own in two minutes
===================================

``nilatron train`` makes a prior of images. This page stops after a few seconds, so that the documentation builds quickly; with
600 steps it takes about two minutes on two cores. A prior for use takes hours, see :doc:`../training`.
"""

import subprocess
import sys
from pathlib import Path
from tempfile import mkdtemp

import matplotlib.pyplot as plt
import numpy as np

import nilatron
from nilatron.core.phantom import phantom

rng = np.random.default_rng(0)
folder = Path(mkdtemp())
(folder / "images").mkdir()
for number in range(24):
    size, place = rng.uniform(0.9, 1.3), rng.uniform(-0.3, 0.3, 3)
    picture = np.abs(
        phantom((1, 96, 96), field_of_view=(0.05, size, size), centre=tuple(place))
    )[0]
    np.save(folder / "images" / f"{number:02}.npy", picture.astype(np.float32))

# %%
# Random weights, the smallest network, small patches. Magnitude images get synthetic phase.

train = [sys.executable, "-m", "nilatron", "train", str(folder / "images"), str(folder / "run")]
train += [
    "--architecture",
    "tiny",
    "--steps",
    "100",
    "--batch-size",
    "4",
    "--learning-rate",
    "4e-3",
]
for setting in (
    "patch_sizes=[32]",
    "warm_up_steps=10",
    "ema_half_life_images=40",
    "self_conditioned=false",
    "bf16=false",
    "monitor.validation_patches=4",
    "monitor.tensorboard=false",
):
    train += ["--set", setting]
train += ["--data", "simulated heads", "--licence", "none", "--device", "cpu"]
done = subprocess.run(train, check=True, capture_output=True, text=True)
print(done.stderr.splitlines()[-1])

# %%
# The weights are a file that every ``--weights`` takes.

own = nilatron.load_prior(str(folder / "run" / "prior.safetensors"))
truth = phantom((1, 96, 96))
sigma = 0.2
noisy = truth + sigma / np.sqrt(2) * (rng.standard_normal((1, 96, 96, 2)) @ np.array([1, 1j]))
noisy = noisy.astype(np.complex64)
pictures = {
    "noisy": noisy,
    "own prior, 100 steps": own(noisy, sigma),
    "tiny prior": nilatron.load_prior("tiny")(noisy, sigma),
}
figure, axes = plt.subplots(1, 3, figsize=(9, 3.3), layout="constrained")
for axis, (name, picture) in zip(axes, pictures.items(), strict=True):
    axis.imshow(np.abs(picture[0]), cmap="gray", vmin=0, vmax=1)
    axis.set_title(f"{name}\nrms error {np.sqrt(np.mean(np.abs(picture - truth) ** 2)):.3f}")
    axis.axis("off")
