"""
How sure is the image?
======================

Posterior samples are images that fit both the data and the prior. Where they differ from each other, the data did not decide:
their standard deviation is the uncertainty map, series 101 of a chain.
"""

from pathlib import Path
from tempfile import mkdtemp

import matplotlib.pyplot as plt
import numpy as np

import nilatron
from nilatron.core.metrics import fitted_scale
from nilatron.pipelines.simulation.simulate import SimulationSettings, ground_truth, simulate

scan = SimulationSettings(
    matrix=(96, 96, 1), n_coils=6, acceleration=4, calibration_lines=20, noise_std=0.06
)
raw = Path(mkdtemp()) / "scan.h5"
simulate(raw, scan)
item = nilatron.read_raw(raw).slices[0]
result = nilatron.reconstruct(
    item.kspace, noise=item.noise, weights="tiny", uncertainty=True, samples=6
)

# %%
# The error can be seen beside it only because the truth is known here.

image, truth = np.abs(result.image[0]), np.abs(ground_truth(scan, 0)[0])
error = np.abs(image - truth / fitted_scale(image, truth).real)
figure, axes = plt.subplots(1, 3, figsize=(9.5, 3), layout="constrained")
top = np.percentile(result.uncertainty, 99.5)
for axis, (name, picture, limit) in zip(
    axes,
    [
        ("image", image, image.max()),
        ("uncertainty", result.uncertainty[0], top),
        ("error", error, 2 * top),
    ],
    strict=True,
):
    shown = axis.imshow(
        picture, cmap="gray" if name == "image" else "magma", vmin=0, vmax=limit
    )
    axis.set_title(f"{name}, SNR units")
    axis.axis("off")
    figure.colorbar(shown, shrink=0.8)

# %%
# Pixels in five groups by their uncertainty: where the map is brighter, the error is larger. It is larger than the map says
# altogether: this drawing is not what the prior was trained on, and samples know nothing of that.

spread = result.uncertainty[0]
inside = image > 0.1 * image.max()
groups = np.array_split(np.argsort(spread[inside]), 5)
figure, axis = plt.subplots(figsize=(5, 3), layout="constrained")
axis.plot(
    [spread[inside][group].mean() for group in groups],
    [np.sqrt(np.mean(error[inside][group] ** 2)) for group in groups],
    "o-",
)
axis.set(xlabel="uncertainty, SNR units", ylabel="rms error, SNR units")
axis.grid(visible=True, alpha=0.3)
