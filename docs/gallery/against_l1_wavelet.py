"""
Against l1-wavelet
==================

Compressed sensing with wavelets needs no training. Its penalty is chosen here from the noise and the data, as in the shipped
chain. The comparison is on a simulated head, which is kind to wavelets: it has little texture. What was measured on real
k-space stands on :doc:`../quality`.
"""

from pathlib import Path
from tempfile import mkdtemp

import matplotlib.pyplot as plt
import numpy as np

import nilatron
from nilatron.core.metrics import foreground, psnr
from nilatron.pipelines.simulation.simulate import SimulationSettings, ground_truth, simulate

METHODS = {"CG-SENSE": "cg_sense", "l1-wavelet": "l1_wavelet", "Nila (tiny)": "nila"}
LEVELS = (0.03, 0.06, 0.12)
folder = Path(mkdtemp())
quality: dict[str, list[float]] = {name: [] for name in METHODS}
pictures: dict[str, np.ndarray] = {}
for level in LEVELS:
    scan = SimulationSettings(
        matrix=(128, 128, 1), n_coils=8, acceleration=4, calibration_lines=20, noise_std=level
    )
    simulate(folder / "scan.h5", scan, overwrite=True)
    truth = np.abs(ground_truth(scan, 0)[0])
    for name, chain in METHODS.items():
        picture = nilatron.replay(folder / "scan.h5", chain, weights="tiny").pixels()[0, 0]
        quality[name].append(psnr(picture, truth, foreground(truth)))
        pictures[name] = picture

# %%
# The noisiest of the three scans:

figure, axes = plt.subplots(1, 4, figsize=(10, 2.9), layout="constrained")
for axis, (name, picture) in zip(axes, ({"truth": truth} | pictures).items(), strict=True):
    axis.imshow(picture, cmap="gray", vmin=0, vmax=np.percentile(picture, 99.8))
    axis.set_title(name)
    axis.axis("off")

# %%
# PSNR over the object, magnitudes compared:

figure, axis = plt.subplots(figsize=(6, 3.2), layout="constrained")
for name, values in quality.items():
    axis.plot(LEVELS, values, "o-", label=name)
    print(f"{name:12}", *(f"{value:6.2f} dB" for value in values))
axis.set(
    xlabel="noise of a k-space sample (peak of the object: 1)", ylabel="PSNR, dB", xscale="log"
)
axis.set_xticks(LEVELS, [f"{level:g}" for level in LEVELS])
axis.minorticks_off()
axis.legend()
axis.grid(visible=True, alpha=0.3)
