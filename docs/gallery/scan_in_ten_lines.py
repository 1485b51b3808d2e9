"""
A scan in ten lines
===================

A raw file goes in, images come out: here a simulated scan of 8 coils, with every fourth line and 24 lines of calibration.
"""

from pathlib import Path
from tempfile import mkdtemp

import matplotlib.pyplot as plt

import nilatron
from nilatron.pipelines.simulation.simulate import SimulationSettings, ground_truth, simulate

scan = SimulationSettings(
    matrix=(128, 128, 1), n_coils=8, acceleration=4, calibration_lines=24, noise_std=0.05
)
raw = Path(mkdtemp()) / "scan.h5"
simulate(raw, scan)

images = nilatron.replay(raw, weights="tiny")
zero_filled = nilatron.replay(raw, "zero_filled")

# %%
# ``pixels`` are in SNR units: 1 is the standard deviation that the noise has in one sample of k-space. The conventional image
# (CG-SENSE) comes with every slice.

pictures = {
    "truth": abs(ground_truth(scan, 0)[0]),
    "zero-filled": zero_filled.pixels()[0, 0],
    "conventional": images.pixels("conventional")[0, 0],
    "Nila": images.pixels()[0, 0],
}
figure, axes = plt.subplots(1, 4, figsize=(10, 2.9), layout="constrained")
for axis, (name, picture) in zip(axes, pictures.items(), strict=True):
    axis.imshow(picture, cmap="gray", vmin=0, vmax=picture.max() * 0.9)
    axis.set_title(name)
    axis.axis("off")

# %%
# ``complete`` says whether every expected image came and none is doubtful; the metadata say how an image was made.

print("complete:", images.complete)
for key in (
    "nilatron_sampler",
    "nilatron_steps",
    "nilatron_acceleration",
    "nilatron_sigma_used",
    "nilatron_chi2",
):
    print(f"{key:24}", images.of()[0].metadata[key])
