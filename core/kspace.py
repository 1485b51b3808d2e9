"""Gridding of Cartesian lines, with counts, and the calibration block around DC."""

from __future__ import annotations

from dataclasses import dataclass, field

from nilatron.core.backend import Array, Namespace, namespace

MIN_CALIBRATION_LINES = 8


@dataclass
class KSpaceAccumulator:
    """Sum of the acquired lines of one image and how often each sample was acquired.

    Parameters
    ----------
    n_coils
        Receiver channels.
    shape
        Grid (z, y, x).
    xp
        Array namespace, e.g. that of the first line.
    """

    n_coils: int
    shape: tuple[int, int, int]
    xp: Namespace
    total: Array = field(init=False)
    counts: Array = field(init=False)

    def __post_init__(self) -> None:
        """Allocate the grid."""
        self.total = self.xp.zeros((self.n_coils, *self.shape), dtype=self.xp.complex64)
        self.counts = self.xp.zeros(self.shape, dtype=self.xp.float32)

    def add(self, line: Array, z: int, y: int, first_x: int, usable: tuple[int, int] | None = None) -> None:
        """Add the samples (coil, n) of a line to row (z, y), beginning at column `first_x`.

        `usable` is the half-open range of samples that are added, all by default.

        Raises
        ------
        ValueError
            When the line does not lie inside the grid or has another number of coils.
        """
        n_z, n_y, n_x = self.shape
        first, last = usable if usable is not None else (0, line.shape[1])
        first, last = max(first, -first_x), min(last, n_x - first_x)
        if line.shape[0] != self.n_coils:
            raise ValueError(f"expected a line of {self.n_coils} coils, got {line.shape[0]}")
        if not (0 <= z < n_z and 0 <= y < n_y and first < last):
            raise ValueError(f"line at z {z}, y {y}, x {first_x} lies outside the grid (z, y, x) = {self.shape}")
        columns = slice(first_x + first, first_x + last)
        self.total[:, z, y, columns] += line[:, first:last]
        self.counts[z, y, columns] += 1

    def mean(self) -> Array:
        """Mean k-space (coil, z, y, x), 0 where nothing was acquired; a copy, so that lines may still be added."""
        xp = self.xp
        return self.total / xp.where(self.counts > 0, self.counts, xp.ones_like(self.counts))


def calibration_block(kspace: Array, counts: Array, max_lines: int = 32) -> Array | None:
    """The largest fully sampled block around DC, at most `max_lines` wide along each axis, with DC at index n // 2.

    Parameters
    ----------
    kspace
        (coil, z, y, x).
    counts
        (z, y, x).
    max_lines
        Upper bound of each side.

    Returns
    -------
    A block (coil, z, y, x); None if it would have fewer than `MIN_CALIBRATION_LINES` lines (or samples) along an axis of
    size > 1.
    """
    xp = namespace(counts)
    sampled = counts > 0
    half = [0, 0, 0]
    centre = [n // 2 for n in counts.shape]
    if not bool(sampled[centre[0], centre[1], centre[2]]):
        return None

    def block(radii: list[int]) -> tuple[slice, ...]:
        return tuple(
            slice(c - r, min(c + max(r, 1), n)) if r else slice(c, c + 1)
            for c, r, n in zip(centre, radii, counts.shape, strict=True)
        )

    growing = {axis for axis in range(3) if counts.shape[axis] > 1}
    while growing:
        for axis in sorted(growing, key=lambda a: half[a]):
            wider = [r + 1 if a == axis else r for a, r in enumerate(half)]
            fits = wider[axis] <= min(max_lines // 2, counts.shape[axis] // 2)
            if fits and bool(xp.all(sampled[block(wider)])):
                half = wider
            else:
                growing.discard(axis)
    needed = [min(MIN_CALIBRATION_LINES, n) // 2 for n in counts.shape]
    if any(r < need for r, need, n in zip(half, needed, counts.shape, strict=True) if n > 1):
        return None
    return kspace[(slice(None), *block(half))]


def centre_block(kspace: Array, max_lines: int = 32) -> Array:
    """The samples around DC of k-space (coil, z, y, x), at most `max_lines` along each axis, acquired or not."""
    sizes = [min(int(n), max_lines) for n in kspace.shape[1:]]
    first = [int(n) // 2 - size // 2 for n, size in zip(kspace.shape[1:], sizes, strict=True)]
    return kspace[(slice(None), *(slice(f, f + size) for f, size in zip(first, sizes, strict=True)))]


def centre_window(kspace: Array, counts: Array, n_lines: int = 24) -> Array:
    """Hann window (z, y, x) around DC that is about `n_lines` acquired lines wide along each phase encoding.

    It makes low-resolution images of undersampled data. Regular undersampling leaves aliases in them; a window of this width
    spreads these out of the object if the coils are a few times narrower than the aliasing distance.
    """
    xp = namespace(kspace)
    window = xp.ones_like(counts)
    for axis, n in enumerate(counts.shape):
        if n == 1:
            continue
        others = tuple(a for a in range(3) if a != axis)
        acquired = xp.sum(xp.astype(xp.max(counts, axis=others) > 0, xp.float32))
        width = min(n, max(8, round(n_lines * n / max(1.0, float(acquired)))))
        distance = xp.abs(xp.arange(n, dtype=xp.float32, device=counts.device) - n // 2)
        hann = xp.where(distance < width, 0.5 + 0.5 * xp.cos(xp.pi * distance / width), xp.zeros_like(distance))
        window = window * xp.reshape(hann, tuple(n if a == axis else 1 for a in range(3)))
    return window
