"""
Noise, and what a wrong noise level does
========================================

The reconstruction weighs the data against the prior by the noise of the data. So this noise is measured: by a noise scan, if
there is one, and in the data themselves. Here the coils are correlated and of different gain.
"""

from pathlib import Path
from tempfile import mkdtemp

import matplotlib.pyplot as plt
import numpy as np

import nilatron
from nilatron.core.metrics import foreground, psnr
from nilatron.pipelines.simulation.simulate import SimulationSettings, ground_truth, simulate

scan = SimulationSettings(
    matrix=(96, 96, 1),
    n_coils=8,
    acceleration=3,
    noise_std=0.08,
    noise_correlation=0.5,
    noise_gain_spread=3.0,
)
raw = Path(mkdtemp()) / "scan.h5"
simulate(raw, scan)
item = nilatron.read_raw(raw).slices[0]

# %%
# The covariance of the noise scan, scaled to the dwell time of the image's own lines:

figure, axis = plt.subplots(figsize=(4, 3), layout="constrained")
shown = axis.imshow(abs(item.noise))
axis.set(title="noise covariance", xlabel="coil", ylabel="coil")
figure.colorbar(shown)

# %%
# With the noise scan, and without it. ``sigma`` is the noise level of the k-space that was given, in its own units.

with_scan = nilatron.reconstruct(item.kspace, noise=item.noise, weights="tiny")
without = nilatron.reconstruct(item.kspace, weights="tiny")
for name, result in {"noise scan": with_scan, "measured in the data": without}.items():
    print(
        f"{name:22} sigma {result.sigma:.4f}   chi2 {result.chi2:.2f}   source: {result.provenance['noise_source']}"
    )

# %%
# A covariance that is wrong by a factor is noticed, since the data hold noise themselves; the measured level is used then.

wrong = nilatron.reconstruct(item.kspace, noise=16 * item.noise, weights="tiny")
print({name: value for name, value in wrong.provenance.items() if name.startswith("sigma")})

# %%
# What would happen otherwise: the sampler itself, told a quarter, the whole and four times of the noise level. Too little
# leaves noise in the image, too much takes structure for noise.

whitening = np.linalg.inv(np.linalg.cholesky(item.noise))
white = np.tensordot(whitening, item.kspace, 1).astype(np.complex64)
maps = nilatron.espirit_maps(
    np.tensordot(whitening, item.calibration, 1).astype(np.complex64), white.shape[1:]
)
operator, prior = nilatron.SenseOperator(maps, item.counts), nilatron.load_prior("tiny")
truth = abs(ground_truth(scan, 0)[0])
figure, axes = plt.subplots(1, 3, figsize=(9, 3.4), layout="constrained")
for axis, factor in zip(axes, (0.25, 1.0, 4.0), strict=True):
    image = np.abs(
        nilatron.sample_images(prior, operator, operator.data(white / np.float32(factor)))[0]
    )
    axis.imshow(image, cmap="gray", vmin=0, vmax=np.percentile(image, 99.8))
    axis.set_title(f"noise level x {factor:g}: {psnr(image, truth, foreground(truth)):.1f} dB")
    axis.axis("off")
