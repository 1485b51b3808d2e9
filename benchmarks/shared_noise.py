"""What a reference costs a reconstruction when it holds the noise of the data that are reconstructed.

The full scan is r = x + g, g the noise of its combination. The image f(y) of some of its lines, as scanned or with more noise
added, is scored with

    |f - r|^2 = |f - x|^2 + |g|^2 - 2 <f, g> + 2 <x, g>,

so an image that keeps the noise of its data (<f, g> large) looks better than it is, and a denoised one worse. The last
term has no mean. <f, g> can be had without knowing x: for Gaussian noise its mean is that of <Df[b], Gb> with fresh noise b
(Stein 1981, the Monte-Carlo form of Ramani et al., IEEE TIP 2008), Df[b] from a second reconstruction of y + e b. All of it
is of magnitudes in the foreground, where g is the part of the noise in phase with the image, of variance 1/2.

For every method three figures: against the full scan; against a reference just as noisy, but of noise of its own,
|f - x|^2 + |g|^2; and against the truth, |f - x|^2. BART's lambda is the best for each of the three. The same is done where
x is known, on a scan simulated from the denoised full scan (by our prior and by wavelets, as each flatters its own), which
also says how good the estimate is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TypeAlias

import numpy as np

from bart import LAMBDAS, Bart, oracle
from nilatron.core.backend import ComplexArray, complex_normal
from nilatron.core.baselines.l1_wavelet import l1_wavelet
from nilatron.core.coils.espirit import espirit_maps
from nilatron.core.fft import fft
from nilatron.core.metrics import foreground, psnr
from nilatron.core.sense import SenseOperator
from ours import nila
from report import Cell
from scans import combined, compress, compression, undersample, with_noise

Reconstruction: TypeAlias = Callable[[ComplexArray], ComplexArray]  # k-space, all lines and coils -> image

PROBE = 0.2  # e, of the noise
NOISE_VARIANCE = 0.5  # of the magnitude of a combined image


@dataclass(frozen=True)
class Trial:
    """A full scan, an independent one where the object is simulated, and fresh noise; k-space (coil, z, y, x)."""

    full: ComplexArray
    maps: ComplexArray
    probe: ComplexArray
    truth: ComplexArray | None = None
    other: ComplexArray | None = None

    @cached_property
    def reference(self) -> ComplexArray:
        """The full scan's image, which shares the data's noise."""
        return combined(self.full, self.maps)

    def scores(self, reconstruct: Reconstruction) -> dict[str, float]:
        """PSNR of one method against each reference; the estimated ones carry a ~."""
        image, moved = reconstruct(self.full), reconstruct(self.full + np.float32(PROBE) * self.probe)
        mask = foreground(self.reference)
        r, f, g = (array[mask] for array in (self.reference, np.abs(image), combined(self.probe, self.maps)))
        factor = float(np.vdot(f, np.abs(r)) / np.vdot(f, f))
        slope = factor * (np.abs(moved[mask]) - f) / PROBE
        shared = float(np.mean(slope * np.real(np.conj(r) / np.abs(r) * g), dtype=np.float64))
        error = float(np.mean((factor * f - np.abs(r)) ** 2, dtype=np.float64)) - NOISE_VARIANCE + 2 * shared
        scores = {"full scan": psnr(image, self.reference)}
        peak = float(np.max(np.abs(r)))
        scores["other noise ~"] = _decibel(peak, error + NOISE_VARIANCE)
        scores["truth ~"] = _decibel(peak, error)
        if self.truth is not None and self.other is not None:
            scores["other noise"] = psnr(image, combined(self.other, self.maps), mask)
            scores["truth"] = psnr(image, self.truth, mask)
        return scores


def shared_noise_rows(
    bart: Bart,
    full: ComplexArray,
    maps: ComplexArray,
    cases: Sequence[tuple[int, int, float]],
    weights: Path,
    seed: int,
) -> list[dict[str, Cell]]:
    """Rows (Nila, BART with oracle lambda, difference) for each case (acceleration, coils, added noise) and object."""
    generator = np.random.default_rng(1)
    every_line = SenseOperator(maps, np.ones(full.shape[1:], np.float32))
    trials = {"scan": Trial(full, maps, _noise(generator, full))}
    for name, denoised in (
        ("simulated, denoised by the prior", nila(every_line, full, weights)),
        ("simulated, denoised by wavelets", l1_wavelet(every_line, full)),
    ):
        clean = fft(maps * denoised)
        noisy, other = clean + _noise(generator, full), clean + _noise(generator, full)
        trials[name] = Trial(noisy, maps, _noise(generator, full), denoised, other)
    rows: list[dict[str, Cell]] = []
    for case in cases:
        for name, trial in trials.items():
            label: dict[str, Cell] = {"R": case[0], "coils": case[1], "added noise": f"{case[2]}x", "object": name}
            rows += [{**label, **row} for row in _compare(bart, trial, case, weights, seed)]
    return rows


def _compare(bart: Bart, trial: Trial, case: tuple[int, int, float], weights: Path, seed: int) -> list[dict[str, Cell]]:
    """Scores of Nila and of BART with the best lambda for each reference, and their difference."""
    acceleration, n_coils, added_noise = case

    def measured(full: ComplexArray) -> ComplexArray:
        return with_noise(full, added_noise, seed)

    scan = undersample(measured(trial.full), acceleration)
    matrix = compression(scan, n_coils)
    scan = compress(scan, matrix)
    bart.write("kspace", scan.kspace)
    bart.ecalib(scan.calibration.shape[2])
    operator = SenseOperator(espirit_maps(scan.calibration, scan.shape), scan.counts)

    def kept(full: ComplexArray) -> ComplexArray:
        lines: ComplexArray = np.tensordot(matrix, measured(full), axes=1) * scan.counts
        return lines

    def by_nila(full: ComplexArray) -> ComplexArray:
        return nila(operator, operator.data(kept(full)), weights)

    def by_bart(full: ComplexArray, regularisation: float) -> ComplexArray:
        bart.write("probed", kept(full))
        return bart.l1_wavelet(regularisation, "probed")[0]

    ours = trial.scores(by_nila)
    theirs = {value: trial.scores(partial(by_bart, regularisation=value)) for value in LAMBDAS}
    best = {name: oracle(lambda value, name=name: theirs[value][name]) for name in ours}  # type: ignore[misc]
    columns = ("full scan", "other noise ~", "other noise", "truth ~", "truth")
    return [
        {"method": "Nila", **{name: ours.get(name) for name in columns}},
        {"method": "BART", **{name: best[name][0] if name in best else None for name in columns}},
        {"method": "lambda", **{name: f"{best[name][1]:.4f}" if name in best else None for name in columns}},
        {"method": "Nila - BART", **{name: ours[name] - best[name][0] if name in best else None for name in columns}},
    ]


def _noise(generator: np.random.Generator, like: ComplexArray) -> ComplexArray:
    noise: ComplexArray = complex_normal(generator, like.shape, like)
    return noise


def _decibel(peak: float, error: float) -> float:
    return 10 * math.log10(peak**2 / error) if error > 0 else math.inf
