"""The acquired samples around DC, on a grid with a margin for what coil maps fold into them."""

from __future__ import annotations

from dataclasses import dataclass

from nilatron.core.backend import Array, namespace, real_dtype
from nilatron.core.fft import SPATIAL_AXES
from nilatron.core.oversampling import resize_centre


@dataclass(frozen=True, eq=False)
class Window:
    """Samples around DC, DC at index 0 of the grid (z, y, x).

    Attributes
    ----------
    data
        (coil, z, y, x), 0 where nothing was acquired and beyond the window.
    counts
        How often each was acquired, (1, z, y, x), 1 on average where there are data.
    n_measured
        Samples with data, of one coil.
    whole
        Axes (of SPATIAL_AXES) along which there is no margin.
    """

    data: Array
    counts: Array
    n_measured: int
    whole: tuple[int, ...] = ()

    @classmethod
    def of(
        cls, kspace: Array, counts: Array, sides: tuple[int, int], margin: int, whole: tuple[int, ...] = ()
    ) -> Window:
        """The window of k-space (coil, z, y, x) and counts (z, y, x) of the same array library.

        Parameters
        ----------
        sides
            Samples along each axis, of a slice and of a volume.
        margin
            Samples of the grid beyond the window, both sides together.
        whole
            Axes (of SPATIAL_AXES) along which the window is as large as the grid, because every sample is there.
        """
        xp, real = namespace(kspace), real_dtype(kspace)
        full = [int(n) for n in counts.shape]
        side = sides[1] if min(full) > 1 else sides[0]
        window = [min(n, side) for n in full]
        grid = [min(n, w + margin) if n > 1 else 1 for n, w in zip(full, window, strict=True)]
        window = [g if axis in whole else w for axis, w, g in zip(SPATIAL_AXES, window, grid, strict=True)]

        def on_grid(array: Array) -> Array:
            for place, (w, g) in enumerate(zip(window, grid, strict=True), start=1):
                array = resize_centre(resize_centre(array, w, place), g, place)
            return xp.fft.ifftshift(array, axes=SPATIAL_AXES)

        weights = xp.astype(on_grid(counts[None]), real)
        n_measured = int(xp.sum(xp.astype(weights > 0, xp.int64)))
        weights = weights / max(float(xp.sum(weights)) / max(n_measured, 1), 1e-30)
        return cls(on_grid(kspace), weights, n_measured, whole)


def whole_axes(counts: Array, n_central: int) -> tuple[int, ...]:
    """Axes (of SPATIAL_AXES) along which the central counts (z, y, x) do not differ: those of readouts, and of size 1."""
    xp = namespace(counts)
    for axis, n in enumerate(counts.shape):
        counts = resize_centre(counts, min(int(n), n_central), axis)
    return tuple(axis for axis in SPATIAL_AXES if bool(xp.all(xp.max(counts, axis=axis) == xp.min(counts, axis=axis))))
