"""Joint estimation of image and coil maps by regularised nonlinear inversion (Uecker et al., MRM 2008;60:674).

The data y_c = P F(S_c rho) are a product of two unknowns. The image rho and smooth maps S_c = F^H W h_c follow from

    min |P F(S_c rho) - y_c|^2 + alpha (|rho - rho_0|^2 + |h|^2),   W(k) = (1 + a |k|^2)^-b,

linearised about the last estimate, alpha falling from step to step. No part of k-space has to be fully sampled. Maps need
only the low frequencies, so a window around DC is inverted, on a grid with a margin for what the maps fold into it. The
result is that window without gaps: a calibration block, from which ESPIRiT makes maps as from any other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from nilatron.core.backend import Array, converted_to, namespace, real_dtype, squared_norm
from nilatron.core.coils.window import Window
from nilatron.core.fft import SPATIAL_AXES, uncentred
from nilatron.core.kspace import centre_block
from nilatron.core.solvers import conjugate_gradient

DATA_NORM = 100.0  # of the data that are inverted, against which alpha is a number
MIN_LINES = 6  # central lines that leave little to tell: as many as ESPIRiT's kernels have
BLOCK_THRESHOLD = 3e-3  # of ESPIRiT's kernels of the result: the model's errors are kernels, too, weak ones


@dataclass(frozen=True)
class JointSettings:
    """Settings of the inversion.

    Attributes
    ----------
    window, volume_window
        Samples around DC that are inverted along each axis, of a slice and of a volume.
    margin
        Samples of the grid beyond the window, both sides together.
    block
        Samples of the result along each axis.
    n_steps
        Gauss-Newton steps.
    reduction
        Factor of alpha from step to step; the first alpha is 1.
    smoothness, order
        a, for k in periods of the field of view, and b.
    start_width
        Standard deviation of the Gaussian rho_0 in half fields of view. An object is in the middle of its field of view more
        often than at the edges, and that tells which of two aliases is which; None starts with an image of 1.
    tolerance, max_iterations
        Of the conjugate gradients of each step.
    enough
        Share of the noise that the inversion may leave.
    """

    window: int = 32
    volume_window: int = 24
    margin: int = 8
    block: int = 24
    n_steps: int = 10
    reduction: float = 0.4
    smoothness: float = 220 / 256**2
    order: float = 32
    start_width: float | None = 0.8
    tolerance: float = 0.3
    max_iterations: int = 25
    enough: float = 0.5

    @classmethod
    def for_lines(cls, n_lines: int) -> JointSettings:
        """Settings for a scan with so many central lines: the fewer, the longer takes the inversion to tell aliases apart."""
        if n_lines < MIN_LINES:
            return cls(tolerance=0.1, max_iterations=60)
        return cls(window=28, margin=4)


@dataclass(frozen=True, eq=False)
class JointEstimate:
    """Result of an inversion.

    Attributes
    ----------
    block
        k-space around DC without gaps (coil, z, y, x): samples as acquired, the others by the model.
    unexplained
        sqrt(|residual|^2 less the noise / |data|^2) of the window.
    """

    block: Array
    unexplained: float


def joint_calibration(
    kspace: Array, counts: Array, noise_variance: float = 1.0, settings: JointSettings | None = None
) -> JointEstimate:
    """Calibration block of undersampled k-space; zeros where the window holds no signal.

    Parameters
    ----------
    kspace
        Mean of the acquired samples, complex (coil, z, y, x), 0 where there are none.
    counts
        How often each was acquired, (z, y, x); may belong to another array library.
    noise_variance
        Of a sample that was acquired once; 0 where it is not known. The inversion ends where it has explained the rest.
    """
    settings = settings or JointSettings()
    model = _Model.of(kspace, converted_to(counts, kspace), settings)
    if model.scale == 0:
        return JointEstimate(centre_block(kspace, settings.block), 0.0)
    noise = noise_variance * model.scale**2 * int(kspace.shape[0]) * model.n_measured
    estimate = reference = model.start(settings)
    alpha = 1.0
    for _ in range(settings.n_steps):
        if model.misfit(estimate) <= settings.enough * noise:
            break
        estimate = model.step(estimate, reference, alpha, settings)
        alpha *= settings.reduction
    predicted = centre_block(model.kspace(estimate) / model.scale, settings.block)
    measured, acquired = (centre_block(a, settings.block) for a in (kspace, converted_to(counts, kspace)[None]))
    excess = max(model.misfit(estimate) - noise, 0.0)
    return JointEstimate(namespace(kspace).where(acquired > 0, measured, predicted), math.sqrt(excess) / DATA_NORM)


@dataclass(frozen=True, eq=False)
class _Model:
    """y = P F(S rho) on the small grid, DC at index 0; unknowns (image and h, z, y, x) are one array.

    Attributes
    ----------
    data
        (coil, z, y, x), scaled.
    counts
        P^2, 1 on average where there are data.
    smoothing
        W (z, y, x).
    scale
        Of the data; 0 without signal.
    n_measured
        Samples with data.
    """

    data: Array
    counts: Array
    smoothing: Array
    scale: float
    n_measured: int

    @classmethod
    def of(cls, kspace: Array, counts: Array, settings: JointSettings) -> _Model:
        xp, real = namespace(kspace), real_dtype(kspace)
        window = Window.of(kspace, counts, (settings.window, settings.volume_window), settings.margin)
        data, weights, n_measured = window.data, window.counts, window.n_measured
        grid = window.data.shape[1:]
        norm = math.sqrt(squared_norm(xp.sqrt(weights) * data))
        scale = DATA_NORM / norm if norm > 0 else 0.0
        squares = xp.zeros(grid, dtype=real, device=kspace.device)
        for axis, n in enumerate(grid):
            k = xp.arange(n, dtype=real, device=kspace.device) - n // 2
            squares = squares + xp.reshape(k**2, tuple(n if a == axis else 1 for a in range(3)))
        smoothing = xp.fft.ifftshift((1 + settings.smoothness * squares) ** -settings.order)
        return cls(data * scale, weights, smoothing, scale, n_measured)

    def start(self, settings: JointSettings) -> Array:
        """rho_0 of mean square 1, and maps of 0."""
        xp = namespace(self.data)
        image = xp.ones_like(self.smoothing)
        if settings.start_width is not None:
            for axis, n in enumerate(image.shape):
                if n > 1:
                    u = (xp.arange(n, dtype=image.dtype, device=image.device) - n // 2) / (n / 2 * settings.start_width)
                    image = image * xp.reshape(xp.exp(-(u**2) / 2), tuple(n if a == axis else 1 for a in range(3)))
            image = image / xp.sqrt(xp.mean(image**2))
        image = xp.astype(xp.fft.ifftshift(image), self.data.dtype)
        return xp.concat([image[None], xp.zeros_like(self.data)])

    def maps(self, estimate: Array) -> Array:
        """S = F^H W h."""
        return _ifft(self.smoothing * estimate[1:])

    def kspace(self, estimate: Array) -> Array:
        """F(S rho), centred."""
        return namespace(estimate).fft.fftshift(_fft(self.maps(estimate) * estimate[:1]), axes=SPATIAL_AXES)

    def misfit(self, estimate: Array) -> float:
        """|P F(S rho) - y|^2."""
        xp = namespace(estimate)
        return squared_norm(xp.sqrt(self.counts) * (self.data - _fft(self.maps(estimate) * estimate[:1])))

    def step(self, estimate: Array, reference: Array, alpha: float, settings: JointSettings) -> Array:
        """The estimate after one Gauss-Newton step: (DA^H DA + alpha) d = DA^H r + alpha (reference - estimate)."""
        xp = namespace(estimate)
        image, maps = estimate[:1], self.maps(estimate)
        conj_image, conj_maps = xp.conj(image), xp.conj(maps)

        def adjoint(residual: Array) -> Array:
            back = _ifft(self.counts * residual)
            of_image = xp.sum(conj_maps * back, axis=0, keepdims=True)
            return xp.concat([of_image, self.smoothing * _fft(conj_image * back)])

        def normal(change: Array) -> Array:
            return adjoint(_fft(image * self.maps(change) + maps * change[:1])) + alpha * change

        right = adjoint(self.data - _fft(maps * image)) + alpha * (reference - estimate)
        solution = conjugate_gradient(
            normal, right, tolerance=settings.tolerance, max_iterations=settings.max_iterations, n_axes=4
        )
        return estimate + solution.x


def _fft(array: Array) -> Array:
    return uncentred(array, SPATIAL_AXES, inverse=False)


def _ifft(array: Array) -> Array:
    return uncentred(array, SPATIAL_AXES, inverse=True)
