"""
The blocks, with a denoiser of one's own
========================================

``reconstruct`` is made of blocks that can be used alone: coil maps, the SENSE operator, conventional images, and a sampler
that takes any denoiser D(x, sigma) of complex images.
"""

import matplotlib.pyplot as plt
import numpy as np

import nilatron
from nilatron.core.fft import fft
from nilatron.core.metrics import foreground, psnr
from nilatron.core.phantom import coil_maps, phantom

rng = np.random.default_rng(0)
shape, sigma = (1, 96, 96), 0.05
truth = phantom(shape)
counts = np.zeros(shape, np.float32)  # how often each sample was acquired
counts[:, ::3] = counts[:, 36:60] = 1
noise = rng.standard_normal((8, *shape, 2)) @ np.array([1, 1j]) * sigma / np.sqrt(2)
kspace = ((fft(coil_maps(8, shape) * truth) + noise) * counts / sigma).astype(
    np.complex64
)  # white, with variance 1

# %%
# Maps from the fully sampled centre, and A = P F S with them:

maps = nilatron.espirit_maps(kspace[:, :, 36:60, 36:60], shape)
operator = nilatron.SenseOperator(maps, counts)
data = operator.data(kspace)


# %%
# A denoiser is a function of an image and the standard deviation of its noise. This one shrinks the coefficients of a local
# cosine transform, without any training:


def cosine_shrinkage(x: np.ndarray, level: float) -> np.ndarray:
    """Mean over shifts of 8 x 8 cosine transforms with soft thresholds."""
    from scipy.fft import dctn, idctn

    total = np.zeros_like(x)
    for shift in ((0, 0), (4, 0), (0, 4), (4, 4)):
        moved = np.roll(x, shift, (-2, -1))
        blocks = moved.reshape(*x.shape[:-2], x.shape[-2] // 8, 8, x.shape[-1] // 8, 8)
        coefficients = dctn(blocks.real, axes=(-3, -1), norm="ortho") + 1j * dctn(
            blocks.imag, axes=(-3, -1), norm="ortho"
        )
        size = np.abs(coefficients)
        shrunk = coefficients * np.maximum(1 - 1.5 * level / np.maximum(size, 1e-9), 0)
        back = idctn(shrunk.real, axes=(-3, -1), norm="ortho") + 1j * idctn(
            shrunk.imag, axes=(-3, -1), norm="ortho"
        )
        total += np.roll(back.reshape(x.shape), (-shift[0], -shift[1]), (-2, -1)).astype(
            x.dtype
        )
    return total / 4


# %%
# ``sample_images`` puts exact, noise-weighted data consistency behind every evaluation, whatever the denoiser is.

images = {
    "CG-SENSE": nilatron.cg_sense(operator, data),
    "l1-wavelet": nilatron.l1_wavelet(operator, data),
    "own denoiser": nilatron.sample_images(cosine_shrinkage, operator, data, coarse_share=0),
    "tiny prior": nilatron.sample_images(nilatron.load_prior("tiny"), operator, data),
}
figure, axes = plt.subplots(1, 4, figsize=(10, 3), layout="constrained")
for axis, (name, image) in zip(axes, images.items(), strict=True):
    axis.imshow(np.abs(image[0]), cmap="gray", vmin=0, vmax=1.0 / sigma)
    axis.set_title(f"{name}, {psnr(image, truth, foreground(truth)):.1f} dB")
    axis.axis("off")
