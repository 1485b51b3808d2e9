"""Navigators of echo-planar shots: the phase between lines read forwards and backwards, for each slice."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from nilatron.core.backend import ComplexArray
from nilatron.core.epi.phase import Phase, polarity_phase
from nilatron.core.fft import fft, ifft
from nilatron.gadgets.items import ScanLog
from nilatron.gadgets.placement import Readout

ShotKey: TypeAlias = tuple[int, int]  # encoding space, slice
Shape: TypeAlias = tuple[int, ...]  # of a navigator: coils, samples


@dataclass
class Shot:
    """The navigators of the latest shot of a slice, and the phase that they give; where they give none, that of before.

    Navigators of one shape belong together: a body coil may be read out before the array.
    """

    before: dict[Shape, Phase] = field(default_factory=dict)
    profiles: list[ComplexArray] = field(default_factory=list)
    backwards: list[bool] = field(default_factory=list)
    is_over: bool = False  # a line that is no navigator has come after them
    _phases: dict[Shape, Phase | None] = field(default_factory=dict)

    def settled(self, shape: Shape) -> Phase | None:
        """The shot is over; the phase (x,) of its lines of this shape that are read backwards."""
        self.is_over = True
        if shape not in self._phases:
            kept = [i for i, one in enumerate(self.profiles) if one.shape == shape]
            found = (
                polarity_phase([self.profiles[i] for i in kept], [self.backwards[i] for i in kept]) if kept else None
            )
            self._phases[shape] = self.before.get(shape) if found is None else found
        return self._phases[shape]

    def phases(self) -> dict[Shape, Phase]:
        """What is known after the shot, by shape."""
        found = {shape: self.settled(shape) for shape in {*self.before, *(one.shape for one in self.profiles)}}
        return {shape: phase for shape, phase in found.items() if phase is not None}


@dataclass
class Navigators:
    """Of one scan. A shot begins with the first navigator after other lines of its slice."""

    log: ScanLog = field(default_factory=ScanLog)
    shots: dict[ShotKey, Shot] = field(default_factory=dict)

    def add(self, key: ShotKey, readout: Readout, *, backwards: bool) -> int:
        """Take a navigator; how many its shot has now."""
        if not np.isfinite(readout.samples).all():
            return 0
        shot = self.shots.get(key)
        if shot is None or shot.is_over:
            shot = self.shots[key] = Shot({} if shot is None else shot.phases())
        shot.profiles.append(ifft(_measured(readout), axes=(-1,)))
        shot.backwards.append(backwards)
        return len(shot.profiles)

    def phase(self, key: ShotKey, n_coils: int, n_samples: int) -> Phase | None:
        """Phase (x,) of the lines that are read backwards, for lines of this shape; None where no navigators tell.

        A slice without its own takes those of another.
        """
        shot = self._shot(key)
        return None if shot is None else shot.settled((n_coils, n_samples))

    def _shot(self, key: ShotKey) -> Shot | None:
        if key in self.shots:
            return self.shots[key]
        others = [shot for (encoding, _), shot in self.shots.items() if encoding == key[0]]
        if others:
            self.log.counts["lines corrected by navigators of another slice"] += 1
        return others[-1] if others else None


def with_phase_removed(readout: Readout, phase: Phase) -> Readout:
    """The readout whose image has `phase` (x,) less."""
    turned = ifft(_measured(readout), axes=(-1,)) * np.exp(-1j * phase).astype(np.complex64)
    return Readout(fft(turned, axes=(-1,)), readout.echo, readout.pre, readout.post, readout.number)


def _measured(readout: Readout) -> ComplexArray:
    """The samples with zeros where nothing was measured."""
    samples = np.array(readout.samples, np.complex64)
    samples[:, : readout.pre] = 0
    samples[:, readout.n_samples - readout.post :] = 0
    return samples
