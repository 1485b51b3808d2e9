"""Check of a converted denoiser D: its error on images whose truth is known, and that of other units for the same network.

A network that is given the wrong noise level or image scale, or whose output is misinterpreted, still makes images. But the
right units have a smaller error, because D = E[x0 | x] has the smallest error of all denoisers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from nilatron.core.baselines.wavelet_denoise import CANDIDATES, oracle_settings, wavelet_denoise
from nilatron.core.prior.conventions import EDM, VE, VP, ContinuousVP
from nilatron.core.prior.edm import ChannelDenoiser, denoise_complex
from nilatron.core.prior.evaluate import CleanAndNoise, draw_clean_and_noise, mean_square_error
from nilatron.core.prior.foreign import ForeignUnits
from nilatron.core.prior.prior import MeanDenoiser

SIGMAS = (0.02, 0.05, 0.1, 0.2, 0.5)
N_TUNING_IMAGES, N_ALTERNATIVE_IMAGES = 4, 2  # for the wavelet's threshold, and for alternative units
BETTER_RATIO = (
    0.95  # alternative units whose error is smaller than this fraction of the present error are the right ones
)
SOFT = [candidate for candidate in CANDIDATES if candidate.rule == "soft"]


@dataclass(frozen=True)
class LevelErrors:
    """Root mean square errors, per real component, of noisy, wavelet-denoised and network-denoised images at one sigma."""

    sigma: float
    noisy: float
    wavelet: float
    denoised: float


@dataclass(frozen=True)
class Alternative:
    """Alternative units of the network: the command line option that sets them, and their error over the present error."""

    option: str
    ratio: float


@dataclass(frozen=True)
class CheckResult:
    """Errors of a converted denoiser at each noise level, and of the alternatives."""

    levels: tuple[LevelErrors, ...]
    alternatives: tuple[Alternative, ...]

    def markdown(self) -> str:
        """The errors at each noise level as a Markdown table."""
        rows = ["| sigma | noisy | soft wavelet | converted | converted / noisy |", "|---|---|---|---|---|"]
        rows += [
            f"| {at.sigma:g} | {at.noisy:.4f} | {at.wavelet:.4f} | {at.denoised:.4f} | {at.denoised / at.noisy:.3f} |"
            for at in self.levels
        ]
        return "\n".join(rows) + "\n"

    def failure(self) -> str | None:
        """Why the conversion is wrong; None if it passed the check."""
        worse = [f"{at.sigma:g}" for at in self.levels if not at.denoised < at.noisy]
        best = min(self.alternatives, key=lambda alternative: alternative.ratio, default=None)
        hint = ""
        if best and best.ratio < BETTER_RATIO:
            hint = f"with {best.option} its error would be {100 * (1 - best.ratio):.0f} % smaller: did you mean that?"
        if worse:
            return f"the image is worse after denoising than before at sigma {', '.join(worse)}; " + (
                hint or "look at --convention, --predicts, --time, --scale, --offset and --noise"
            )
        return hint or None

    def warning(self) -> str | None:
        """Why the conversion may be wrong; None if nothing is suspicious."""
        poor = [f"{at.sigma:g}" for at in self.levels if at.denoised > at.wavelet]
        if not poor:
            return None
        return (
            f"no better than soft wavelet thresholding at sigma {', '.join(poor)}: the schedule or the time may be another, "
            "or the images of the check are not what the network knows"
        )


def check_denoiser(
    build: Callable[[ForeignUnits], ChannelDenoiser],
    units: ForeignUnits,
    images: Sequence[Tensor],
    sigmas: Sequence[float] = SIGMAS,
    seed: int = 0,
) -> CheckResult:
    """Measure the errors of the network with `units`, and with alternative units.

    Parameters
    ----------
    build
        Function from units to the denoiser.
    images
        Magnitude or complex images (y, x) of image scale 1; alternative units are tried on the first few.
    sigmas
        Complex noise levels.
    """
    pairs = [draw_clean_and_noise(image, seed + i) for i, image in enumerate(images)]
    denoiser = as_denoiser(build(units))
    levels = []
    for sigma in sigmas:
        methods = (lambda noisy, _: noisy, _soft_wavelet(pairs[:N_TUNING_IMAGES], sigma), denoiser)
        levels.append(LevelErrors(sigma, *(rmse(method, pairs, sigma) for method in methods)))
    few = pairs[:N_ALTERNATIVE_IMAGES]
    own = [rmse(denoiser, few, sigma) for sigma in sigmas]
    alternatives = []
    for option, other in alternative_units(units):
        errors = [rmse(as_denoiser(build(other)), few, sigma) for sigma in sigmas]
        alternatives.append(Alternative(option, geometric_mean([a / b for a, b in zip(errors, own, strict=True)])))
    return CheckResult(tuple(levels), tuple(alternatives))


def rmse(denoiser: MeanDenoiser, pairs: Sequence[CleanAndNoise], sigma: float) -> float:
    """Root mean square error per real component over pairs of clean image and unit noise."""
    errors = [mean_square_error(denoiser(clean + sigma * noise, sigma), clean) for clean, noise in pairs]
    return math.sqrt(math.fsum(errors) / len(errors))


def geometric_mean(ratios: Sequence[float]) -> float:
    """Geometric mean; infinity if a ratio is not finite or not positive."""
    if not all(0 < ratio < math.inf for ratio in ratios):
        return math.inf
    return math.exp(math.fsum(math.log(ratio) for ratio in ratios) / len(ratios))


def _soft_wavelet(pairs: Sequence[CleanAndNoise], sigma: float) -> MeanDenoiser:
    """Soft wavelet thresholding with the threshold, of a few, that fits the true images best."""
    tuned = oracle_settings([x for x, _ in pairs], [x + sigma * n for x, n in pairs], sigma, SOFT)
    return lambda noisy, level: wavelet_denoise(noisy, level, tuned)


def as_denoiser(channels: ChannelDenoiser) -> MeanDenoiser:
    """Denoiser of complex images from one of real channels."""
    return lambda noisy, sigma: denoise_complex(channels, noisy, sigma)


def alternative_units(units: ForeignUnits) -> Iterator[tuple[str, ForeignUnits]]:
    """Units that differ from `units` by one plausible mistake, each with the command line option that sets them."""
    if units.channels == 2:
        other = "complex" if units.noise == "component" else "component"
        yield f"--noise {other}", replace(units, noise=other)
    for factor in (2.0, 0.5):
        yield f"--scale {factor * units.scale:g}", replace(units, scale=factor * units.scale)
    convention = units.convention
    for word in ("raw", "denoised", "noise", "score", "v"):
        if word != convention.predicts and isinstance(convention, EDM | VE | VP | ContinuousVP):
            try:
                yield f"--predicts {word}", replace(units, convention=replace(convention, predicts=word))
            except ValueError:  # this convention has no such prediction
                continue
