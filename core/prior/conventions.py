"""Noise conventions of denoisers trained elsewhere: what a network takes and predicts, and the D(z, sigma) that follows.

Every convention below is affine in what the network N predicts, with four functions of the noise level alone:

    D(z, sigma) = skip z + gain N(input z, time),    z = z0 + sigma n

Here sigma is the network's own noise number and z an image in the network's own units; core.prior.foreign brings ours into
them. The equations hold for real channels with E|n|^2 = 1 each, and as well for complex numbers with E|n|^2 = 1 in all,
where a score is the derivative with respect to the conjugate of z.
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
    """The four functions at the noise levels of a batch, each (batch,)."""

    skip: Tensor
    gain: Tensor
    input: Tensor
    time: Tensor


class Convention(Protocol):
    """How a network's prediction becomes D."""

    @property
    def predicts(self) -> str:
        """What the network's output is."""

    @property
    def time(self) -> str:
        """What it takes beside the image, one of `TIMES`."""

    def coefficients(self, sigma: Tensor) -> Coefficients:
        """At the noise numbers sigma, (batch,)."""


@dataclass(frozen=True)
class EDM:
    """Karras et al., NeurIPS 2022, Table 1.

    - denoised:  D = N(z, time)
    - raw:       D = d^2 / (s^2 + d^2) z + s d / sqrt(s^2 + d^2) N(z / sqrt(s^2 + d^2), time), d = sigma_data, s = sigma

    Attributes
    ----------
    predicts
        raw or denoised.
    time
        ln_sigma or sigma. Karras' c_noise = ln(sigma) / 4 is ln_sigma with a time factor of 1/4.
    sigma_data
        In the network's units; unused where it predicts the denoised image.
    """

    predicts: str = "raw"
    time: str = "ln_sigma"
    sigma_data: float = 0.5

    def __post_init__(self) -> None:
        """Refuse what means nothing."""
        _require("an EDM network predicts", self.predicts, ("raw", "denoised"))
        _require("an EDM network's time is", self.time, ("sigma", "ln_sigma"))
        if not 0 < self.sigma_data < math.inf:
            raise ValueError(f"sigma_data must be positive, got {self.sigma_data}")

    def coefficients(self, sigma: Tensor) -> Coefficients:
        """At the noise numbers sigma, (batch,)."""
        one, time = torch.ones_like(sigma), _continuous(self.time, sigma)
        if self.predicts == "denoised":
            return Coefficients(torch.zeros_like(sigma), one, one, time)
        variance = sigma**2 + self.sigma_data**2
        gain = sigma * self.sigma_data / variance.sqrt()
        return Coefficients(self.sigma_data**2 / variance, gain, 1 / variance.sqrt(), time)


@dataclass(frozen=True)
class VE:
    """Variance exploding: Song and Ermon, NeurIPS 2019; Song et al., ICLR 2021. The network sees z itself.

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
        SDE. Between steps and beyond the ends: see `level_and_time`.
    """

    predicts: str = "score"
    time: str = "sigma"
    levels: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what means nothing."""
        _require("a VE network predicts", self.predicts, ("score", "noise", "denoised"))
        _require("a VE network's time is", self.time, TIMES)
        if self.time in ("step", "position"):
            check_levels(self.levels)

    def coefficients(self, sigma: Tensor) -> Coefficients:
        """At the noise numbers sigma, (batch,)."""
        if self.time in ("step", "position"):
            sigma, time = level_and_time(sigma, self.levels, self.time)
        else:
            time = _continuous(self.time, sigma)
        one = torch.ones_like(sigma)
        gain = {"score": sigma**2, "noise": -sigma, "denoised": one}[self.predicts]
        return Coefficients(0 * one if self.predicts == "denoised" else one, gain, one, time)


@dataclass(frozen=True)
class VP:
    """Variance preserving, DDPM: Ho et al., NeurIPS 2020; v of Salimans and Ho, ICLR 2022.

    The network sees z_t = sqrt(abar_t) z0 + sqrt(1 - abar_t) n = z / sqrt(1 + sigma^2), with sigma^2 = (1 - abar_t) / abar_t.

    - noise:     D = z - sigma N
    - denoised:  D = N
    - v:         D = z / (1 + sigma^2) - sigma / sqrt(1 + sigma^2) N
    - score:     D = z + sigma^2 / sqrt(1 + sigma^2) N, of z_t

    Attributes
    ----------
    predicts
        noise, denoised, v or score.
    time
        step, for a network trained at whole t only, or position, for one that takes any t between 0 and T - 1.
    alpha_bar
        abar_t for t = 0 to T - 1, falling. Between steps and beyond the ends: see `level_and_time`.
    """

    predicts: str
    time: str
    alpha_bar: tuple[float, ...]

    def __post_init__(self) -> None:
        """Refuse what means nothing."""
        _require("a VP network predicts", self.predicts, ("noise", "denoised", "v", "score"))
        _require("a VP network's time is", self.time, ("step", "position"))
        if not all(0 < value < 1 for value in self.alpha_bar):
            raise ValueError("alpha_bar must lie between 0 and 1, both excluded, at every step")
        check_levels(self.levels)

    @property
    def levels(self) -> tuple[float, ...]:
        """Sigma at each step."""
        return tuple(math.sqrt((1 - value) / value) for value in self.alpha_bar)

    def coefficients(self, sigma: Tensor) -> Coefficients:
        """At the noise numbers sigma, (batch,)."""
        sigma, time = level_and_time(sigma, self.levels, self.time)
        return _variance_preserving(self.predicts, sigma, time)


@dataclass(frozen=True)
class ContinuousVP:
    """VP with t from 0 to 1 and linear beta(t) (Song et al., ICLR 2021): abar(t) = exp(-t^2 (b1 - b0) / 2 - t b0).

    As `VP`, at t = (sqrt(b0^2 + 2 (b1 - b0) ln(1 + sigma^2)) - b0) / (b1 - b0).

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
        """Refuse what means nothing."""
        _require("a VP network predicts", self.predicts, ("noise", "denoised", "v", "score"))
        if not 0 < self.betas[0] < self.betas[1] < math.inf:
            raise ValueError(f"beta must be positive and rise, got {self.betas}")

    @property
    def time(self) -> str:
        """Continuous."""
        return "position"

    def coefficients(self, sigma: Tensor) -> Coefficients:
        """At the noise numbers sigma, (batch,)."""
        low, rise = self.betas[0], self.betas[1] - self.betas[0]
        power = (1 + sigma**2).log()
        time = 2 * power / ((low**2 + 2 * rise * power).sqrt() + low)  # without the difference of nearly equal numbers
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
