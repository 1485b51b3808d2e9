"""Echo-planar scans that never happened: an object, coils, a readout gradient, and what differs between the directions."""

from dataclasses import dataclass, field
from typing import Any

import ismrmrd
import numpy as np
import pytest

from nilatron.core.epi.trapezoid import Trapezoid, sample_positions
from nilatron.core.fft import fft, ifft
from nilatron.gadgets.accumulate import Accumulator
from nilatron.gadgets.epi.correct import EpiLines, EpiSettings
from nilatron.gadgets.items import Context

N, N_COILS = 32, 3


def smooth(n_y, n_x, seed=0):
    """An object (y, x) that fills two thirds of its field of view, with a phase, and coil maps (coil, y, x)."""
    rng = np.random.default_rng(seed)
    y, x = np.meshgrid((np.arange(n_y) - n_y // 2) / n_y, (np.arange(n_x) - n_x // 2) / n_x, indexing="ij")
    body = ((x / 0.36) ** 2 + (y / 0.4) ** 2 < 1) * (0.6 + 0.4 * np.cos(9 * x + 5 * y)) + (np.hypot(x - 0.1, y) < 0.09)
    maps = [
        np.exp(-((x - 0.4 * np.cos(t)) ** 2) - (y - 0.4 * np.sin(t)) ** 2 + 1j * t) for t in rng.uniform(0, 6, N_COILS)
    ]
    maps /= np.sqrt(np.sum(np.abs(maps) ** 2, axis=0))
    return body * np.exp(1j * (x - 2 * y)), np.asarray(maps)


@dataclass
class EpiScan:
    """Header, lines and truth of one slice.

    `oversampling` is that of the encoded grid; samples lie on it where there is no lobe.
    """

    header: Any
    make_line: Any
    lobe: Trapezoid | None = None
    delay_us: float | None = None
    n_samples: int = 2 * N
    dwell_us: float = 5.0
    shift: float = 0.0  # of the lines read backwards, in steps of the encoded grid
    phase: float = 0.0
    evolution: float = 0.0  # rad from echo to echo
    directions: tuple[bool, ...] = (False, True)  # backwards or not, in turn
    steps: tuple[int, ...] = tuple(range(N))
    n_navigators: int = 3
    noise: float = 0.0
    seed: int = 0
    more: dict[str, Any] = field(default_factory=dict)  # for every line

    def __post_init__(self) -> None:
        self.object, self.maps = smooth(N, N, self.seed)
        self.n_x = int(self.header.encoding[0].encodedSpace.matrixSize.x)
        self.rng = np.random.default_rng(self.seed + 10)

    @property
    def hybrid(self):
        """(coil, ky, x) on the middle of the field of view."""
        return fft(self.maps * self.object, axes=(-2,))

    def _line(self, profile, backwards, echo, *flags, **counters):
        """One readout of a profile (coil, x), in the order of time."""
        if self.lobe is None:
            k = (np.arange(self.n_samples) - self.n_samples // 2) * self.n_x / self.n_samples
        else:
            delay = (
                (self.lobe.duration_us - self.dwell_us * self.n_samples) / 2 if self.delay_us is None else self.delay_us
            )
            k = sample_positions(self.lobe, delay, self.dwell_us, self.n_samples, self.n_x)
        turn = np.exp(1j * self.evolution * echo)
        if backwards:
            k, turn = -k - self.shift, turn * np.exp(1j * self.phase)
            flags = (*flags, ismrmrd.ACQ_IS_REVERSE)
        x = np.arange(N) - N // 2
        data = turn * profile @ np.exp(-2j * np.pi * np.outer(x, k) / self.n_x) / np.sqrt(self.n_x)
        data = data + self.noise * (self.rng.standard_normal(data.shape) + 1j * self.rng.standard_normal(data.shape))
        return self.make_line(data, *flags, dwell_us=self.dwell_us, **self.more, **counters)

    def navigators(self, **counters):
        """Without phase encoding, the first forwards."""
        return [
            self._line(self.hybrid[:, N // 2], bool(i % 2), i, ismrmrd.ACQ_IS_PHASECORR_DATA, **counters)
            for i in range(self.n_navigators)
        ]

    def imaging(self, **counters):
        return [
            self._line(
                self.hybrid[:, y], self.directions[i % len(self.directions)], i + self.n_navigators, y=y, **counters
            )
            for i, y in enumerate(self.steps)
        ]

    @property
    def lines(self):
        return [*self.navigators(), *self.imaging()]

    def slices(self, lines=None, **settings):
        """Slices (and the log) that the lines become."""
        context, gadget = Context(self.header), EpiLines(EpiSettings(**settings))
        stream = gadget.lines(iter(self.lines if lines is None else lines), context)
        stream = gadget.slices(Accumulator()(stream, context), context)
        return list(stream), context.log

    def image(self, item):
        """Coils combined with the true maps (y, x)."""
        return np.sum(np.conj(self.maps) * ifft(item.kspace[:, 0]), axis=0)

    def psnr(self, item):
        """Of the magnitude, after one scale, dB."""
        found, truth = np.abs(self.image(item)), np.abs(self.object)
        scale = np.sum(found * truth) / np.sum(found**2)
        return float(10 * np.log10(truth.max() ** 2 / np.mean((scale * found - truth) ** 2)))

    def ghost(self, item):
        """Energy half a field of view from where the object is alone, of that of the image."""
        image = np.abs(self.image(item)) ** 2
        inside = np.abs(self.object) > 0
        return float(image[np.roll(inside, N // 2, axis=0) & ~inside].sum() / image.sum())


@pytest.fixture
def describe():
    """Give the first encoding of a header a trajectoryDescription."""

    def give(header, identifier="ConventionalEPI", **numbers):
        xsd = ismrmrd.xsd
        kinds = {
            "userParameterLong": (xsd.userParameterLongType, int),
            "userParameterDouble": (xsd.userParameterDoubleType, float),
        }
        found = {
            name: [make(name=key, value=value) for key, value in numbers.items() if isinstance(value, kind)]
            for name, (make, kind) in kinds.items()
        }
        header.encoding[0].trajectory = xsd.trajectoryType.EPI
        header.encoding[0].trajectoryDescription = xsd.trajectoryDescriptionType(identifier=identifier, **found)
        return header

    return give


@pytest.fixture
def epi_scan(scan_header, make_line, describe):
    """Make a scan; with a lobe its header describes it, as far as `stated` does not say otherwise (None: left out)."""

    def make(lobe=None, stated=None, n_x=2 * N, **settings):
        header = scan_header((n_x, N, 1), (N, N, 1))
        describe(header)
        scan = EpiScan(header, make_line, lobe, **settings)
        if lobe is not None:
            numbers = {"rampUpTime": int(lobe.ramp_up_us), "rampDownTime": int(lobe.ramp_down_us)}
            numbers |= {"flatTopTime": int(lobe.flat_top_us), "dwellTime": float(scan.dwell_us)}
            numbers |= {"numSamples": scan.n_samples, "numberOfNavigators": scan.n_navigators, "etl": N}
            if scan.delay_us is not None:
                numbers["acqDelayTime"] = int(scan.delay_us)
            numbers |= stated or {}
            describe(header, **{name: value for name, value in numbers.items() if value is not None})
        return scan

    return make
