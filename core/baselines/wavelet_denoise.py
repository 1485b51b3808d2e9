"""Translation-invariant wavelet denoising of complex images; its threshold can be tuned against the true image.

x^ = mean over shifts T of  T^-1 W^H g(W T y)      (cycle spinning: Coifman and Donoho, Wavelets and Statistics, 1995)

with one of three gains g on the complex detail coefficients c, whose noise has E|n|^2 = sigma^2:

- soft:   c (1 - t sigma / |c|)_+
- hard:   c where |c| > t sigma, else 0
- wiener: c |p|^2 / (|p|^2 + (w sigma)^2), with p the coefficients of the hard-thresholded image (empirical Wiener filter:
  Ghael, Sayeed and Baraniuk, SPIE 1997;3169:389)

The gain depends on the magnitude of a coefficient, so its phase is kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from nilatron.core.backend import Array, namespace, percentile, squared_norm
from nilatron.core.wavelet import MIN_BAND, Wavelet, soft_threshold

RULES = ("soft", "hard", "wiener")
TUNING_SHIFTS = 4
_MEDIAN_OF_NORMAL = 0.6745  # median of |n| of a real normal n, in units of its standard deviation


@dataclass(frozen=True)
class WaveletDenoiseSettings:
    """Settings of the shrinkage.

    Attributes
    ----------
    rule
        soft, hard or wiener.
    threshold
        t in units of sigma; for the Wiener filter that of the hard-thresholded image.
    wiener_level
        w, the noise level that the Wiener filter assumes, in units of sigma.
    n_shifts
        Number of random shifts to average over.
    max_levels
        Largest number of levels of the wavelet transform.
    """

    rule: str = "wiener"
    threshold: float = 2.1
    wiener_level: float = 1.0
    n_shifts: int = 16
    max_levels: int = 4

    def __post_init__(self) -> None:
        """Refuse settings that cannot be computed."""
        if self.rule not in RULES:
            raise ValueError(f"the shrinkage rule must be one of {', '.join(RULES)}, got {self.rule!r}")
        if self.threshold < 0 or self.wiener_level < 0 or self.n_shifts < 1:
            raise ValueError(f"threshold and wiener_level cannot be negative, n_shifts must be 1 or more: {self}")


CANDIDATES = (
    *(WaveletDenoiseSettings("soft", t) for t in (0.5, 0.7, 0.85, 1.0, 1.2, 1.4, 1.7)),
    *(WaveletDenoiseSettings("hard", t) for t in (1.5, 1.8, 2.1, 2.4, 2.7, 3.1)),
    *(WaveletDenoiseSettings("wiener", t, w) for t in (1.5, 1.8, 2.1, 2.4, 2.8) for w in (0.5, 0.7, 0.9, 1.2)),
)


def wavelet_denoise(
    image: Array,
    sigma: float,
    settings: WaveletDenoiseSettings | None = None,
    generator: np.random.Generator | None = None,
) -> Array:
    """Estimate of the image x from y = x + sigma n.

    Parameters
    ----------
    image
        y, complex (..., y, x); leading axes are a batch that shares the shifts.
    sigma
        Complex standard deviation of the noise, in the image's units.
    generator
        Random generator of the shifts; by default one of seed 0.

    Returns
    -------
    Complex image of the same shape.
    """
    settings = settings or WaveletDenoiseSettings()
    generator = generator or np.random.default_rng(0)
    wavelet = Wavelet(tuple(int(n) for n in image.shape[-2:]), settings.max_levels)
    shifts = [wavelet.random_shift(generator) for _ in range(settings.n_shifts)]
    threshold = settings.threshold * sigma
    if settings.rule == "soft":
        return _spin(wavelet, image, shifts, lambda c, _: soft_threshold(c, threshold))
    hard = _spin(wavelet, image, shifts, lambda c, _: c * (namespace(c).abs(c) > threshold))
    noise_power = (settings.wiener_level * sigma) ** 2
    if settings.rule == "hard" or noise_power == 0:
        return hard
    pilot = wavelet.pad(hard)

    def wiener(coefficients: Array, shift: tuple[int, ...]) -> Array:
        power = namespace(pilot).abs(wavelet.analyse(_rolled(pilot, shift))) ** 2
        return coefficients * (power / (power + noise_power))

    return _spin(wavelet, image, shifts, wiener)


def oracle_settings(
    clean: Sequence[Array],
    noisy: Sequence[Array],
    sigma: float,
    candidates: Sequence[WaveletDenoiseSettings] = CANDIDATES,
) -> WaveletDenoiseSettings:
    """The candidate with the smallest mean squared error against the true images, which only a comparison knows.

    Every image has the same weight. The search averages over `TUNING_SHIFTS` shifts to save time; the settings that are
    returned keep their own number.
    """

    def error(settings: WaveletDenoiseSettings) -> float:
        quick = replace(settings, n_shifts=min(settings.n_shifts, TUNING_SHIFTS))
        return math.fsum(
            squared_norm(wavelet_denoise(y, sigma, quick) - x) / math.prod(x.shape)
            for x, y in zip(clean, noisy, strict=True)
        )

    return min(candidates, key=error)


def estimate_sigma(image: Array) -> float:
    """Noise level from the finest diagonal details d: median |d| / 0.6745 (Donoho and Johnstone, Biometrika 1994).

    Details that are exactly zero, as where a background was masked, are left out.

    Parameters
    ----------
    image
        Real or complex (..., y, x).

    Returns
    -------
    Standard deviation of the noise in the image's units, for a complex image that of complex noise, E|n|^2 = sigma^2; 0 for
    an image without details.
    """
    xp = namespace(image)
    n_y, n_x = (int(n) - int(n) % 2 for n in image.shape[-2:])
    if min(n_y, n_x) < 2 * MIN_BAND:
        raise ValueError(f"noise cannot be measured in an image of shape {tuple(image.shape)}: too small")
    details = Wavelet((n_y, n_x), 1).analyse(image[..., :n_y, :n_x])[..., n_y // 2 :, n_x // 2 :]
    is_complex = xp.isdtype(details.dtype, "complex floating")
    parts = xp.stack([xp.real(details), xp.imag(details)]) if is_complex else details
    magnitude = xp.abs(parts[parts != 0])
    if not int(magnitude.shape[0]):
        return 0.0
    return percentile(magnitude, 50) / _MEDIAN_OF_NORMAL * (math.sqrt(2) if is_complex else 1.0)


def _spin(
    wavelet: Wavelet,
    image: Array,
    shifts: Sequence[tuple[int, ...]],
    shrink: Callable[[Array, tuple[int, ...]], Array],
) -> Array:
    """Mean, over the shifts, of the image with its details shrunk; the coarse block (local means) is kept."""
    padded = wavelet.pad(image)
    total = namespace(image).zeros_like(padded)
    for shift in shifts:
        coefficients = wavelet.analyse(_rolled(padded, shift))
        shrunk = shrink(coefficients, shift)
        shrunk[wavelet.coarse] = coefficients[wavelet.coarse]
        total = total + _rolled(wavelet.synthesise(shrunk), tuple(-s for s in shift))
    return wavelet.crop(total / len(shifts))


def _rolled(padded: Array, shift: tuple[int, ...]) -> Array:
    return namespace(padded).roll(padded, shift, axis=(-2, -1))
