"""
How sure is the image?
======================

The error map (series 101 of a chain) is the standard deviation of the error of the image, in SNR units.
A small network beside the default weights predicts it for this very image, and a calibration on other subjects says what it
promises.
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
result = nilatron.reconstruct(item.kspace, noise=item.noise, uncertainty=True)
for name, value in sorted(result.provenance.items()):
    if name.startswith(("uncertainty", "psnr_bound", "unfamiliarity")):
        print(f"{name:26}", value)

# %%
# The other way: the spread of posterior samples, images that fit both the data and the prior. It is not calibrated, and it
# takes a multiple of the image's time.

sampled = nilatron.reconstruct(
    item.kspace, noise=item.noise, uncertainty=True, uncertainty_from="samples", samples=4
)

# %%
# The true error can be seen beside them only because the truth is known here.

image, truth = np.abs(result.image[0]), np.abs(ground_truth(scan, 0)[0])
error = np.abs(image - truth / fitted_scale(image, truth).real)
top = np.percentile(error, 99)
pictures = {
    "image": (image, image.max()),
    "predicted error": (result.uncertainty[0], top),
    "spread of samples": (sampled.uncertainty[0], top),
    "true error": (error, top),
}
figure, axes = plt.subplots(1, 4, figsize=(11, 2.8), layout="constrained")
for axis, (name, (picture, limit)) in zip(axes, pictures.items(), strict=True):
    shown = axis.imshow(
        picture, cmap="gray" if name == "image" else "magma", vmin=0, vmax=limit
    )
    axis.set_title(name)
    axis.axis("off")
    figure.colorbar(shown, shrink=0.7)

# %%
# Pixels of the object in five groups by the predicted error, and the error that they have:

inside = image > 0.1 * image.max()
figure, axis = plt.subplots(figsize=(5, 3), layout="constrained")
for name, one in {"prediction": result, "samples": sampled}.items():
    spread = one.uncertainty[0][inside]
    groups = np.array_split(np.argsort(spread), 5)
    axis.plot(
        [spread[group].mean() for group in groups],
        [np.sqrt(np.mean(error[inside][group] ** 2)) for group in groups],
        "o-",
        label=name,
    )
axis.axline((1, 1), slope=1, color="grey", linewidth=0.8)
axis.set(xlabel="map, SNR units", ylabel="rms error, SNR units")
axis.legend()
axis.grid(visible=True, alpha=0.3)

# %%
# The share of the object's pixels whose error is within ``kappa`` times the map. The calibration promises
# ``uncertainty_coverage`` for heads; this drawing is none.

kappa = float(result.provenance["uncertainty_kappa"])
print(f"{np.mean(error[inside] <= kappa * result.uncertainty[0][inside]):.2f}")
