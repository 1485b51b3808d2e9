"""Is D what it should be: the error on images whose truth is known, and whether another reading of the network errs less.

A network asked about another noise level than it means, at another scale, or whose output is taken for something else than
it is, still makes pictures. It cannot hide that the right reading has a smaller error: D = E[x0 | x] is the least of all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from torch import Tensor

from nilatron.core.baselines.wavelet_denoise import CANDIDATES, oracle_settings, wavelet_denoise
from nilatron.core.prior.conventions import EDM, VE, VP, ContinuousVP
from nilatron.core.prior.edm import ChannelDenoiser, denoise_complex
from nilatron.core.prior.evaluate import draw_scene, mean_square_error
from nilatron.core.prior.foreign import ForeignUnits
from nilatron.core.prior.prior import MeanDenoiser

SIGMAS = (0.02, 0.05, 0.1, 0.2, 0.5)
N_TUNING, N_NEIGHBOURS = 4, 2  # images for the wavelet's threshold, and for other readings
BETTER = 0.95  # of the error, over all levels: where another reading is as good as this, it is the right one
Scene: TypeAlias = tuple[Tensor, Tensor]  # a clean complex image and unit noise
SOFT = [candidate for candidate in CANDIDATES if candidate.rule == "soft"]


@dataclass(frozen=True)
class Level:
    """Errors at complex noise sigma, root mean squares per real component: of x itself, the wavelet's, and D's."""

    sigma: float
    noisy: float
    wavelet: float
    denoised: float


@dataclass(frozen=True)
class Reading:
    """Another reading of the network, in the words of the option that asks for it, and its error over the present one's."""

    words: str
    ratio: float


@dataclass(frozen=True)
class Verdict:
    """What was found."""

    levels: tuple[Level, ...]
    readings: tuple[Reading, ...]

    def markdown(self) -> str:
        """The errors as a table."""
        rows = ["| sigma | noisy | soft wavelet | converted | converted / noisy |", "|---|---|---|---|---|"]
        rows += [
            f"| {at.sigma:g} | {at.noisy:.4f} | {at.wavelet:.4f} | {at.denoised:.4f} | {at.denoised / at.noisy:.3f} |"
            for at in self.levels
        ]
        return "\n".join(rows) + "\n"

    def objection(self) -> str | None:
        """Why this is not the denoiser it should be, or None."""
        worse = [f"{at.sigma:g}" for at in self.levels if not at.denoised < at.noisy]
        best = min(self.readings, key=lambda reading: reading.ratio, default=None)
        hint = ""
        if best and best.ratio < BETTER:
            hint = f"with {best.words} its error would be {100 * (1 - best.ratio):.0f} % smaller: did you mean that?"
        if worse:
            return f"the image is worse after denoising than before at sigma {', '.join(worse)}; " + (
                hint or "look at --convention, --predicts, --time, --scale, --offset and --noise"
            )
        return hint or None

    def remark(self) -> str | None:
        """What is suspicious but no proof, or None."""
        poor = [f"{at.sigma:g}" for at in self.levels if at.denoised > at.wavelet]
        if not poor:
            return None
        return (
            f"no better than soft wavelet thresholding at sigma {', '.join(poor)}: the schedule or the time may be another, "
            "or the images of the check are not what the network knows"
        )


def check(
    build: Callable[[ForeignUnits], ChannelDenoiser],
    units: ForeignUnits,
    images: Sequence[Tensor],
    sigmas: Sequence[float] = SIGMAS,
    seed: int = 0,
) -> Verdict:
    """Measure the network read in `units`, and in neighbouring ones.

    Parameters
    ----------
    build
        The denoiser of a reading.
    images
        Magnitude or complex (y, x), image scale 1; all count, the first few for neighbours.
    sigmas
        Complex noise levels.
    """
    scenes = [draw_scene(image, seed + i) for i, image in enumerate(images)]
    denoiser = as_denoiser(build(units))
    levels = []
    for sigma in sigmas:
        methods = (lambda noisy, _: noisy, _soft_wavelet(scenes[:N_TUNING], sigma), denoiser)
        levels.append(Level(sigma, *(rmse(method, scenes, sigma) for method in methods)))
    few = scenes[:N_NEIGHBOURS]
    own = [rmse(denoiser, few, sigma) for sigma in sigmas]
    readings = []
    for words, other in neighbours(units):
        errors = [rmse(as_denoiser(build(other)), few, sigma) for sigma in sigmas]
        readings.append(Reading(words, geometric_mean([a / b for a, b in zip(errors, own, strict=True)])))
    return Verdict(tuple(levels), tuple(readings))


def rmse(denoiser: MeanDenoiser, scenes: Sequence[Scene], sigma: float) -> float:
    """Root mean square error per real component over scenes (clean, unit noise)."""
    errors = [mean_square_error(denoiser(clean + sigma * noise, sigma), clean) for clean, noise in scenes]
    return math.sqrt(math.fsum(errors) / len(errors))


def geometric_mean(ratios: Sequence[float]) -> float:
    """Infinity where a ratio is not finite."""
    if not all(0 < ratio < math.inf for ratio in ratios):
        return math.inf
    return math.exp(math.fsum(math.log(ratio) for ratio in ratios) / len(ratios))


def _soft_wavelet(scenes: Sequence[Scene], sigma: float) -> MeanDenoiser:
    """Soft thresholding with the best of a few thresholds, chosen with the truth in hand."""
    tuned = oracle_settings([x for x, _ in scenes], [x + sigma * n for x, n in scenes], sigma, SOFT)
    return lambda noisy, level: wavelet_denoise(noisy, level, tuned)


def as_denoiser(channels: ChannelDenoiser) -> MeanDenoiser:
    """D of complex images."""
    return lambda noisy, sigma: denoise_complex(channels, noisy, sigma)


def neighbours(units: ForeignUnits) -> Iterator[tuple[str, ForeignUnits]]:
    """Readings that a mistake would have led away from, each with its option."""
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
