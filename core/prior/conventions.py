"""Noise conventions of denoisers trained elsewhere: their input and output, and the denoiser D(z, sigma) that follows.

In every convention below D is affine in the network's output N, with four functions of the noise level alone:

    D(z, sigma) = skip z + gain N(input z, time),    z = z0 + sigma n

Here sigma and z are noise level and image in the network's own units; core.prior.foreign converts ours into them. The
equations hold for real channels with E|n|^2 = 1 in each channel, and also for complex images with E|n|^2 = 1, whose score is
the derivative with respect to the conjugate of z.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from nilatron.core.prior.noise_levels import check_levels, level_and_time

TIMES = ("sigma", "ln_sigma", "step", "position")


class Coefficients(NamedTuple):
    """Values of the four functions at the noise levels of a batch, each (batch,)."""

    skip: Tensor
    gain: Tensor
    input: Tensor
    time: Tensor


class Convention(Protocol):
    """The convention of a network, which turns its prediction into D."""

    @property
    def predicts(self) -> str:
        """Kind of the network's output, e.g. "noise" or "denoised"."""

    @property
    def time(self) -> str:
        """Kind of the network's second input, one of `TIMES`."""

    def coefficients(self, sigma: Tensor) -> Coefficients:
        """Coefficients at the noise levels sigma (batch,), in the network's units."""


@dataclass(frozen=True)
class EDM:
    """EDM convention: Karras et al., NeurIPS 2022, Table 1.

    - denoised:  D = N(z, time)
    - raw:       D = d^2 / (s^2 + d^2) z + s d / sqrt(s^2 + d^2) N(z / sqrt(s^2 + d^2), time), d = sigma_data, s = sigma

    Attributes
    ----------
    predicts
        raw or denoised.
    time
        ln_sigma or sigma. Karras' c_noise = ln(sigma) / 4 is ln_sigma with a time factor of 1/4.
    sigma_data
        Root mean square of the training images in the network's units; not used for a network that predicts "denoised".
    """

    predicts: str = "raw"
    time: str = "ln_sigma"
    sigma_data: float = 0.5

    def __post_init__(self) -> None:
        """Refuse unknown words and impossible numbers."""
        _require("an EDM network predicts", self.predicts, ("raw", "denoised"))
        _require("an EDM network's time is", self.time, ("sigma", "ln_sigma"))
        if not 0 < self.sigma_data < math.inf:
            raise ValueError(f"sigma_data must be positive, got {self.sigma_data}")

    def coefficients(self, sigma: Tensor) -> Coefficients:
        """Coefficients at the noise levels sigma, (batch,)."""
        one, time = torch.ones_like(sigma), _continuous(self.time, sigma)
        if self.predicts == "denoised":
            return Coefficients(torch.zeros_like(sigma), one, one, time)
        variance = sigma**2 + self.sigma_data**2
        gain = sigma * self.sigma_data / variance.sqrt()
        return Coefficients(self.sigma_data**2 / variance, gain, 1 / variance.sqrt(), time)


@dataclass(frozen=True)
class VE:
    """Variance exploding convention (Song and Ermon, NeurIPS 2019; Song et al., ICLR 2021): the network sees z itself.

    - score:     D = z + sigma^2 N
    - noise:     D = z - sigma N
    - denoised:  D = N

    Attributes
    ----------
    predicts
        score, noise or denoised.
    time
        sigma, ln_sigma, or step and position in `levels`.
    levels
        The noise levels that the network was trained at, rising or falling, in its own units. With two levels and
        time = position, time is ln(sigma / levels[0]) / ln(levels[1] / levels[0]): the t from 0 to 1 of the geometric
        SDE. `level_and_time` defines the time of noise levels between and beyond these.
    """

    predicts: str = "score"
    time: str = "sigma"
    levels: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Refuse unknown words and impossible levels."""
        _require("a VE network predicts", self.predicts, ("score", "noise", "denoised"))
        _require("a VE network's time is", self.time, TIMES)
        if self.time in ("step", "position"):
            check_levels(self.levels)

    def coefficients(self, sigma: Tensor) -> Coefficients:
        """Coefficients at the noise levels sigma, (batch,)."""
        if self.time in ("step", "position"):
            sigma, time = level_and_time(sigma, self.levels, self.time)
        else:
            time = _continuous(self.time, sigma)
        one = torch.ones_like(sigma)
        gain = {"score": sigma**2, "noise": -sigma, "denoised": one}[self.predicts]
        return Coefficients(0 * one if self.predicts == "denoised" else one, gain, one, time)


@dataclass(frozen=True)
class VP:
    """Variance preserving convention of DDPM (Ho et al., NeurIPS 2020), with v of Salimans and Ho, ICLR 2022.

    The network sees z_t = sqrt(abar_t) z0 + sqrt(1 - abar_t) n = z / sqrt(1 + sigma^2), with sigma^2 = (1 - abar_t) / abar_t.

    - noise:     D = z - sigma N
    - denoised:  D = N
    - v:         D = z / (1 + sigma^2) - sigma / sqrt(1 + sigma^2) N
    - score:     D = z + sigma^2 / sqrt(1 + sigma^2) N, with N the score of z_t

    Attributes
    ----------
    predicts
        noise, denoised, v or score.
    time
        step, for a network trained at whole numbers t only, or position, for one that takes any t between 0 and T - 1.
    alpha_bar
        abar_t for t = 0 to T - 1, falling. `level_and_time` defines the time of noise levels between and beyond these.
    """

    predicts: str
    time: str
    alpha_bar: tuple[float, ...]

    def __post_init__(self) -> None:
        """Refuse unknown words and impossible schedules."""
        _require("a VP network predicts", self.predicts, ("noise", "denoised", "v", "score"))
        _require("a VP network's time is", self.time, ("step", "position"))
        if not all(0 < value < 1 for value in self.alpha_bar):
            raise ValueError("alpha_bar must lie between 0 and 1, both excluded, at every step")
        check_levels(self.levels)

    @property
    def levels(self) -> tuple[float, ...]:
        """Noise level sigma of each step."""
        return tuple(math.sqrt((1 - value) / value) for value in self.alpha_bar)

    def coefficients(self, sigma: Tensor) -> Coefficients:
        """Coefficients at the noise levels sigma, (batch,)."""
        sigma, time = level_and_time(sigma, self.levels, self.time)
        return _variance_preserving(self.predicts, sigma, time)


@dataclass(frozen=True)
class ContinuousVP:
    """VP with t from 0 to 1 and linear beta(t) (Song et al., ICLR 2021): abar(t) = exp(-t^2 (b1 - b0) / 2 - t b0).

    The equations are those of `VP`; the time is t = (sqrt(b0^2 + 2 (b1 - b0) ln(1 + sigma^2)) - b0) / (b1 - b0).

    Attributes
    ----------
    predicts
        noise, denoised, v or score.
    betas
        b0 and b1.
    """

    predicts: str = "noise"
    betas: tuple[float, float] = (0.1, 20.0)

    def __post_init__(self) -> None:
        """Refuse unknown words and impossible betas."""
        _require("a VP network predicts", self.predicts, ("noise", "denoised", "v", "score"))
        if not 0 < self.betas[0] < self.betas[1] < math.inf:
            raise ValueError(f"beta must be positive and rise, got {self.betas}")

    @property
    def time(self) -> str:
        """Kind of the time: always a position, a real number."""
        return "position"

    def coefficients(self, sigma: Tensor) -> Coefficients:
        """Coefficients at the noise levels sigma, (batch,)."""
        low, rise = self.betas[0], self.betas[1] - self.betas[0]
        power = (1 + sigma**2).log()
        time = 2 * power / ((low**2 + 2 * rise * power).sqrt() + low)  # avoids a difference of nearly equal numbers
        return _variance_preserving(self.predicts, sigma, time)


def _variance_preserving(predicts: str, sigma: Tensor, time: Tensor) -> Coefficients:
    one = torch.ones_like(sigma)
    input_ = (1 + sigma**2).rsqrt()
    skip, gain = {
        "noise": (one, -sigma),
        "denoised": (0 * one, one),
        "v": (input_**2, -sigma * input_),
        "score": (one, sigma**2 * input_),
    }[predicts]
    return Coefficients(skip, gain, input_, time)


def _continuous(time: str, sigma: Tensor) -> Tensor:
    return sigma if time == "sigma" else sigma.log()


def _require(what: str, word: str, known: Sequence[str]) -> None:
    if word not in known:
        raise ValueError(f"{what} one of {', '.join(known)}, got {word!r}")
