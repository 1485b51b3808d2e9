"""Whether the coil maps of a separate calibration fit the lines, and where they fit best.

Between a calibration scan and the images the field of view may have moved. Then the maps are right, but not where they are:
S(r - d). The shift d is where the lines around DC are explained best by any image,

    f(d) = min_x |P F S(r - d) x - y|^2,

found by Newton steps from f at neighbouring shifts. Two or three numbers follow from few lines, where maps that are free in
each coil fit anything. What else may differ, the contrast or the place of the subject between coils that stay, costs nothing:
the maps explain it.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from typing import TypeAlias

from nilatron.core.backend import Array, converted_to, namespace, squared_norm
from nilatron.core.coils.espirit import CalibrationKernels, EspiritSettings
from nilatron.core.coils.pixels import lag_numbers
from nilatron.core.coils.window import Window
from nilatron.core.fft import SPATIAL_AXES, uncentred
from nilatron.core.oversampling import resize_centre
from nilatron.core.solvers import conjugate_gradient

Shift: TypeAlias = "tuple[float, float, float]"


@dataclass(frozen=True)
class MovedSettings:
    """Settings of the search.

    Attributes
    ----------
    agreement
        Share of the energy in which the calibration may differ from the lines where both were acquired: an object and coils
        that moved by a quarter of a pixel of 1 in 200 differ in 2e-4, by one pixel in 9e-3.
    window, volume_window, margin
        Samples around DC that are explained, of a slice and of a volume, and those of the grid beyond them.
    stride
        Distance of neighbouring shifts, in fields of view.
    n_steps, longest
        Newton steps, and the longest one along each axis, in strides.
    least
        Strides below which a step ends the search.
    shortest
        Strides below which maps count as in place along each axis.
    gain
        Fall of f, in its final value per sample, below which maps count as in place. Maps in place reach 15 by chance.
    alpha, tolerance, max_iterations
        Weight of |x|^2, and the end of the conjugate gradients.
    """

    agreement: float = 1e-3
    window: int = 32
    volume_window: int = 24
    margin: int = 8
    stride: float = 1 / 128
    n_steps: int = 4
    longest: float = 3.0
    least: float = 0.25
    shortest: float = 0.5
    gain: float = 30.0
    alpha: float = 1e-3
    tolerance: float = 1e-3
    max_iterations: int = 30


def shift_of_calibration(
    calibration: Array,
    kspace: Array,
    counts: Array,
    noise_variance: float = 1.0,
    settings: MovedSettings | None = None,
) -> Shift | None:
    """Fields of view along (z, y, x) by which the maps of a calibration have to move to fit the lines; None: by nothing.

    Parameters
    ----------
    calibration
        Fully sampled block of k-space around DC, complex (coil, z, y, x).
    kspace
        Mean of the acquired samples, complex (coil, z, y, x), 0 where there are none.
    counts
        How often each was acquired, (z, y, x); may belong to another array library.
    noise_variance
        Of a sample that was acquired once; 0 where it is not known.
    """
    settings = settings or MovedSettings()
    counts = converted_to(counts, kspace)
    if int(kspace.shape[0]) == 1 or not math.isfinite(squared_norm(calibration)):  # ESPIRiT will say so
        return None
    if agrees(calibration, kspace, counts, noise_variance, settings.agreement):
        return None
    kernels = CalibrationKernels.of(calibration, EspiritSettings(noise_variance=noise_variance))
    if kernels is None:
        return None
    search = _Search(kernels, _window(kernels, kspace, counts, settings), settings)
    n_samples = search.window.n_measured * int(kernels.to_coils.shape[1])
    if n_samples == 0 or not search.axes:
        return None
    here: Shift = (0.0, 0.0, 0.0)
    first, step = search.step(here)
    least, best = first, here
    for _ in range(settings.n_steps):
        if max(abs(part) for part in step) < settings.least * settings.stride:
            break
        here = (here[0] + step[0], here[1] + step[1], here[2] + step[2])
        misfit, step = search.step(here)
        if misfit < least:
            least, best = misfit, here
    is_far = max(abs(part) for part in best) > settings.shortest * settings.stride
    return best if is_far and (first - least) * n_samples > settings.gain * least else None


def moved(block: Array, shift: Shift) -> Array:
    """k-space around DC (coil, z, y, x) of what lies `shift` fields of view further along (z, y, x)."""
    xp = namespace(block)
    for axis, part in enumerate(shift, start=1):
        n = int(block.shape[axis])
        block = block * _ramp(part, xp.arange(n, dtype=xp.float64, device=block.device) - n // 2, axis, block)
    return block


def _ramp(shift: float, numbers: Array, axis: int, reference: Array) -> Array:
    """exp(-2 pi i shift k) for the k of an axis of an array like the reference."""
    xp = namespace(numbers)
    phase = -2 * math.pi * shift * numbers
    values = xp.astype(xp.cos(phase) + 1j * xp.sin(phase), reference.dtype)
    return xp.reshape(values, tuple(-1 if a == axis else 1 for a in range(reference.ndim)))


def agrees(
    calibration: Array, kspace: Array, counts: Array, noise_variance: float, share: float = MovedSettings.agreement
) -> bool:
    """Whether calibration and lines are the same up to a factor and noise, where both were acquired."""
    xp, counts = namespace(kspace), converted_to(counts, kspace)
    for axis, n in enumerate(calibration.shape[1:], start=1):
        kspace, counts = resize_centre(kspace, int(n), axis), resize_centre(counts, int(n), axis - 1)
    acquired = xp.astype(counts > 0, xp.float32)
    calibration = calibration * acquired
    energy = squared_norm(kspace)
    if energy == 0:
        return False
    factor = complex(xp.sum(xp.conj(kspace) * calibration)) / energy
    noise = noise_variance * (1 + abs(factor) ** 2) * int(kspace.shape[0]) * float(xp.sum(acquired))
    return squared_norm(calibration - factor * kspace) - noise <= share * abs(factor) ** 2 * energy


def _window(kernels: CalibrationKernels, kspace: Array, counts: Array, settings: MovedSettings) -> Window:
    """That of the virtual coils."""
    xp = namespace(kspace)
    window = Window.of(kspace, counts, (settings.window, settings.volume_window), settings.margin)
    data = xp.tensordot(xp.conj(kernels.to_coils).T, window.data, axes=1)
    return Window(data, window.counts, window.n_measured)


@dataclass(frozen=True, eq=False)
class _Search:
    kernels: CalibrationKernels
    window: Window
    settings: MovedSettings

    @property
    def grid(self) -> tuple[int, int, int]:
        n_z, n_y, n_x = (int(n) for n in self.window.counts.shape[1:])
        return n_z, n_y, n_x

    @property
    def axes(self) -> list[int]:
        return [axis for axis, n in enumerate(self.grid) if n > 1]

    def step(self, shift: Shift) -> tuple[float, Shift]:
        """F at a shift, and the Newton step from there along each axis by itself."""
        stride = self.settings.stride
        around = [_along(shift, axis, way * stride) for axis, way in itertools.product(self.axes, (-1, 1))]
        here, *others = self.misfits([shift, *around])
        step = [0.0, 0.0, 0.0]
        for axis, below, above in zip(self.axes, others[::2], others[1::2], strict=True):
            bend = below - 2 * here + above
            strides = (below - above) / 2 / bend if bend > 0 else self.settings.longest * (1 if above < below else -1)
            step[axis] = stride * min(max(strides, -self.settings.longest), self.settings.longest)
        return here, (step[0], step[1], step[2])

    def maps(self, shift: Shift) -> Array:
        """Maps (virtual, z, y, x) on the grid, of kernels whose window is that of k-space with the ramp of a shift."""
        lags = self.kernels.lags
        for axis, part in enumerate(shift, start=2):
            lags = lags * _ramp(part, lag_numbers(int(lags.shape[axis]), lags), axis, lags)
        return replace(self.kernels, lags=lags).vectors(self.grid, 1)[0]

    def misfits(self, shifts: list[Shift]) -> list[float]:
        """F at each shift."""
        xp, window = namespace(self.window.data), self.window
        maps = xp.fft.ifftshift(xp.stack([self.maps(shift) for shift in shifts]), axes=SPATIAL_AXES)
        conj_maps = xp.conj(maps)

        def adjoint(samples: Array) -> Array:
            back = uncentred(window.counts * samples, SPATIAL_AXES, inverse=True)
            return xp.sum(conj_maps * back, axis=-4, keepdims=True)

        def forward(images: Array) -> Array:
            return uncentred(maps * images, SPATIAL_AXES, inverse=False)

        images = conjugate_gradient(
            lambda images: adjoint(forward(images)) + self.settings.alpha * images,
            adjoint(xp.broadcast_to(window.data, maps.shape)),
            tolerance=self.settings.tolerance,
            max_iterations=self.settings.max_iterations,
        ).x
        residuals = xp.sqrt(window.counts) * (window.data - forward(images))
        return [squared_norm(residual) for residual in residuals]


def _along(shift: Shift, axis: int, distance: float) -> Shift:
    moved = [s + distance if a == axis else s for a, s in enumerate(shift)]
    return moved[0], moved[1], moved[2]
