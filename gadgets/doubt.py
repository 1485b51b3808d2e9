"""Which images are doubtful, and why: figures of `core.quality` against what the method promises.

A residual counts where it is large against the noise and not small against the signal. Zero-filled images promise neither to
explain the data nor to unfold aliases. Noise, amplified or not, is no doubt.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nilatron.core.backend import Array, converted_to, to_numpy
from nilatron.core.kspace import centre_block
from nilatron.core.quality.ambiguity import ambiguity
from nilatron.core.quality.background import energy_outside
from nilatron.core.quality.coverage import unexplained_share
from nilatron.core.quality.ghosts import ghosts
from nilatron.core.quality.residual import Residual, residual_map, residual_of
from nilatron.core.recon import FROM_JOINT, displayed
from nilatron.core.solvers import conjugate_gradient
from nilatron.gadgets.items import KSpaceSlice
from nilatron.gadgets.misstated import misstatements
from nilatron.gadgets.problem import Problem

AXES = ("z", "y", "x")
LEAST_SQUARES_STEPS = 20
MIN_CENTRAL_GAP = 4  # rows between two acquired ones around the centre; equispaced lines leave as many at R = 4
CENTRAL_ROWS = 8  # along each axis, that calibration needs


@dataclass(frozen=True)
class DoubtSettings:
    """What becomes of an image that is doubtful: "mark" delivers it, marked; "refuse" has the conventional one replace it."""

    doubtful: str = "mark"  # mark delivers a doubtful image, marked; refuse replaces it by the conventional one

    def __post_init__(self) -> None:
        """Refuse other words."""
        if self.doubtful not in ("mark", "refuse"):
            raise ValueError(f"doubtful must be mark or refuse, got {self.doubtful!r}")


@dataclass(frozen=True)
class Thresholds:
    """Above what a figure makes an image doubtful; between those measured on right and on wrong images.

    Attributes
    ----------
    structured
        Of what the residual holds beyond noise, against the signal. Right images have up to 0.03, with a calibration scan of
        its own up to 0.07.
    line_unexplained, line_share
        Of a line against its own signal, and of all such lines against the whole: what they change in the image. Right
        images have lines of up to 0.15, or what the prior takes from a weak signal.
    evenness, noise_floor, more_noise
        A residual that is so even, and so many times the assumed noise variance, is noise; that matters where it is more than
        this part of the signal. Right images are as even, but not above 1.3 times.
    chi2_share, less_noise
        The same for too little: a share of the least chi2 that the assumed noise leaves, and of the signal.
    ambiguity
        Side lobe of the central lines, without calibration. Maps of joint estimation, of one head, have errors of up to 12 %
        up to 0.71, and of 7 to 32 % from 0.84 on.
    maps
        Share of the calibration's signal that the coil maps leave out.
    outside
        Of the image's signal outside the object. Right images have up to 0.11, where noise is amplified.
    ghost, ghost_when_full
        How far the image's correlation with itself stands out at FOV/2 or multiples of FOV/R; aliases have 0.8 to 1. Right
        images have up to 0.25, where every line was acquired up to 0.07.
    """

    structured: float = 0.08
    line_unexplained: float = 0.25
    line_share: float = 0.01
    evenness: float = 0.6
    noise_floor: float = 2.0
    more_noise: float = 0.04
    chi2_share: float = 0.5
    less_noise: float = 0.08
    ambiguity: float = 0.75
    maps: float = 0.5
    outside: float = 0.2
    ghost: float = 0.3
    ghost_when_full: float = 0.1


class DoubtfulError(RuntimeError):
    """An image that is withheld because it is doubtful."""


@dataclass(frozen=True)
class Candidate:
    """An image that is to be judged.

    Attributes
    ----------
    item, problem
        The slice, and as its reconstruction saw it.
    image
        (z, y, x), or of several map sets (set z, y, x).
    residual
        Of the image.
    promises_data
        Whether the method promises to explain the data, and so to unfold aliases.
    is_regularised
        Whether it stays away from the data where these say little, as CG-SENSE does. Then only what no image explains counts.
    """

    item: KSpaceSlice
    problem: Problem
    image: Array
    residual: Residual
    promises_data: bool = True
    is_regularised: bool = False

    @property
    def displayed(self) -> Array:
        """The image (z, y, x)."""
        return displayed(self.problem.operator, self.image)


def judged(item: KSpaceSlice, problem: Problem, image: Array, residual: Residual, method: str) -> Candidate:
    """The image with what its method, a target of the node, promises."""
    return Candidate(item, problem, image, residual, method != "zero_filled", method in ("cg_sense", "l1_wavelet"))


def doubts(candidate: Candidate, thresholds: Thresholds | None = None) -> list[str]:
    """Why the image is doubtful, in plain sentences with their figures; nothing where there is no signal."""
    thresholds = thresholds or Thresholds()
    if not candidate.residual.data_energy.any():
        return []
    found = [*_of_centre(candidate.item), *misstatements(candidate.item, candidate.displayed)]
    found += _of_maps(candidate, thresholds)
    if candidate.promises_data:
        found += [
            *_of_calibration(candidate.item, thresholds),
            *_of_residual(candidate, thresholds),
            *_of_background(candidate, thresholds),
        ]
    return [*found, *_of_ghosts(candidate, thresholds)]


def _of_centre(item: KSpaceSlice) -> Iterator[str]:
    """Lost lines around the centre of k-space: all contrast is there, and an image without them may fit what is left."""
    for axis, name in ((0, "z"), (1, "y")):
        rows = np.flatnonzero(item.counts.any(axis=(1 - axis, 2)))
        centre = item.counts.shape[axis] // 2
        if len(rows) < 3:
            continue
        before, after = rows[rows <= centre], rows[rows >= centre]
        if not len(before) or not len(after):
            yield f"the centre of k-space along {name} was not acquired: rows {rows[0]} to {rows[-1]}, centre {centre}"
        elif after[0] - before[-1] > max(MIN_CENTRAL_GAP, 2 * float(np.median(np.diff(rows)))):
            yield f"rows {before[-1] + 1} to {after[0] - 1} along {name}, around the centre of k-space, were not acquired"
        elif np.median(np.diff(rows)) == 1 and (lost := _lost_rows(rows, centre)):
            yield f"rows {', '.join(map(str, lost))} along {name}, next to the centre of k-space, were not acquired"


def _lost_rows(rows: npt.NDArray[np.intp], centre: int) -> list[int]:
    """Rows missing among the central ones between the first and the last acquired one."""
    first, last = max(int(rows[0]), centre - CENTRAL_ROWS // 2), min(int(rows[-1]), centre + CENTRAL_ROWS // 2 - 1)
    return sorted(set(range(first, last + 1)) - set(rows.tolist()))


def _of_calibration(item: KSpaceSlice, thresholds: Thresholds) -> Iterator[str]:
    """Coil maps from lines that do not tell aliases apart are aliased themselves, and no residual tells."""
    n_coils, n_z, n_y, _ = item.kspace.shape
    rows = [slice(max(0, n // 2 - CENTRAL_ROWS // 2), n // 2 + CENTRAL_ROWS // 2) for n in (n_z, n_y)]
    acquired = item.counts[rows[0], rows[1]].any(axis=-1)
    if n_coils == 1 or item.calibration is not None or acquired.all():
        return
    has_centre = bool(item.counts[n_z // 2, n_y // 2].any())
    if item.maps_from != FROM_JOINT or not has_centre or ambiguity(item.counts) > thresholds.ambiguity:
        yield (
            f"there is no calibration, and {int((~acquired).sum())} of the {acquired.size} central lines were not acquired: "
            "coil maps are a guess"
        )


def _of_residual(candidate: Candidate, thresholds: Thresholds) -> Iterator[str]:
    residual = candidate.residual
    found = _misfits(residual, candidate, thresholds)
    if found and candidate.is_regularised and not _misfits(_as_close_as_can_be(candidate), candidate, thresholds):
        found = []  # what the image leaves is what its regularisation tells it to leave
    yield from found
    if not found:
        yield from _of_noise(candidate, thresholds)


def _misfits(residual: Residual, candidate: Candidate, thresholds: Thresholds) -> list[str]:
    """Lines that do not fit, and a residual that is no noise and not small against the signal."""
    found = []
    weak = shrinkage(residual, math.prod(candidate.image.shape))
    lines = residual.line_unexplained > max(thresholds.line_unexplained, weak)
    if residual.share_of(lines) > thresholds.line_share:
        z, y = np.unravel_index(int(np.argmax(np.where(lines, residual.line_excess, 0))), lines.shape)
        found.append(
            f"{int(lines.sum())} of {residual.line_chi2.size} lines do not fit the image, most of all row (z, y) = ({z}, {y}): "
            "look for lost, repeated or swapped lines, and for ghosts"
        )
    if residual.structured > max(thresholds.structured, weak):
        place = "the centre" if residual.central_share() > 0.5 else "the outer part"
        pixels = to_numpy(displayed(candidate.problem.operator, residual_map(candidate.problem.operator, residual)))
        spot = ", ".join(str(i) for i in np.unravel_index(int(pixels.argmax()), pixels.shape))
        found.append(
            f"chi2 is {residual.chi2:.3g} and the image leaves {residual.structured:.0%} of the signal unexplained, mostly "
            f"in {place} of k-space and around pixel (z, y, x) = ({spot}): coil maps and data do not agree, look for ghosts"
        )
    return found


def _of_noise(candidate: Candidate, thresholds: Thresholds) -> Iterator[str]:
    """Whether the noise is what a noise scan or the chain in front claims, where it matters: not small against the signal."""
    residual, noise = candidate.residual, candidate.item.noise
    if noise is None or noise.source == "data":  # a guess, which the image's notes tell
        return
    if residual.evenness > thresholds.evenness and residual.noise_floor > thresholds.noise_floor:
        if residual.unexplained > thresholds.more_noise:
            yield (
                f"chi2 is {residual.chi2:.3g} in all lines alike: there is {math.sqrt(residual.noise_floor):.2g} times the "
                "noise that was assumed, and the image may be too noisy"
            )
        return
    least = least_chi2(candidate)
    absent = math.sqrt(max(least - residual.chi2, 0.0)) / residual.signal_to_noise
    if residual.chi2 < thresholds.chi2_share * least and absent > thresholds.less_noise:
        yield (
            f"chi2 is {residual.chi2:.2g}, at least {least:.2g} was to be expected: there is less noise than was assumed, and "
            "the image may be too smooth"
        )


def _as_close_as_can_be(candidate: Candidate) -> Residual:
    """The residual of the image that is nearby and follows the data as closely as any can: r + A d, A^H A d = -A^H r."""
    operator, r = candidate.problem.operator, candidate.residual.samples
    step = conjugate_gradient(operator.normal, -operator.adjoint(r), tolerance=1e-3, max_iterations=LEAST_SQUARES_STEPS)
    return residual_of(operator, candidate.problem.data, candidate.image + step.x)


def shrinkage(residual: Residual, n_pixels: int) -> float:
    """By how much a prior of the image's own mean energy p^2 takes signal for noise: 1 / (1 + p^2), in SNR units."""
    energy = max(residual.signal_to_noise**2 - 1, 0.0) * residual.n_total / n_pixels
    return 1 / (1 + energy)


def least_chi2(candidate: Candidate) -> float:
    """1 - N / M, what an image of N pixels that follows M samples as closely as it can leaves of their noise."""
    support = candidate.problem.operator.support
    n_pixels = math.prod(candidate.image.shape) if support is None else int(to_numpy(support).sum())
    return 1 - n_pixels / candidate.residual.n_total


def _of_maps(candidate: Candidate, thresholds: Thresholds) -> Iterator[str]:
    item = candidate.item
    if item.coil_maps is None:
        return
    block = item.calibration if item.calibration is not None else centre_block(item.kspace)
    share = unexplained_share(*(converted_to(array, candidate.image) for array in (block, item.coil_maps)))
    if share > thresholds.maps:
        yield f"the coil maps leave out {share:.0%} of the signal: part of the object is missing"


def _of_background(candidate: Candidate, thresholds: Thresholds) -> Iterator[str]:
    calibration = candidate.item.calibration
    if calibration is None:
        return
    share = energy_outside(candidate.displayed, converted_to(calibration, candidate.image), 1.0)
    if share > thresholds.outside:
        yield f"{share:.0%} of the signal lies outside the object that the calibration lines show: look for aliases"


def _of_ghosts(candidate: Candidate, thresholds: Thresholds) -> Iterator[str]:
    for ghost in ghosts(candidate.displayed, candidate.item.counts):
        if not ghost.is_full and not candidate.promises_data:
            continue
        if ghost.strength > (thresholds.ghost_when_full if ghost.is_full else thresholds.ghost):
            part = "FOV/2" if ghost.divisor == 2 else f"{ghost.multiple} FOV/{ghost.divisor}".removeprefix("1 ")
            yield (
                f"the image repeats itself at {part} along {AXES[ghost.axis]} (correlation {ghost.correlation:.2f}, "
                f"{ghost.elsewhere:.2f} nearby): look for ghosts"
            )
