"""Analytic multi-coil phantom: a head of ellipsoids with smooth phase, and the coils around it.

The phantom is a function of position, so it can be drawn at any matrix size and field of view. Positions are relative to
the object's box, which is [-1, 1] along x, y and z (the head nearly fills it); pixel k of n along an axis with field of
view f lies at (k - n // 2) * 2 f / n, so that pixel n // 2 is the centre, as for k-space. Edges are antialiased: the share
of a voxel that lies inside an ellipsoid is computed with the tangential plane of its surface, and voxels are divided where
a structure is thin or folded. Voxels therefore hold averages, also across a thick slice.

A head made of ellipses is the idea of Shepp and Logan (IEEE Trans. Nucl. Sci. 1974;21:21-43); intensities are those of a
T1-weighted image, and folds, nuclei, vessels and a resolution pattern add finer structure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from nilatron.core.backend import ComplexArray, FloatArray

Triple: TypeAlias = tuple[float, float, float]

COIL_RADIUS = 1.45  # radius of the ring of coils in half box widths: just outside the head
COIL_WIDTH = 0.9  # half width of a coil's sensitive region
COILS_PER_RING = 8
MAX_PARTS = 8  # a voxel is divided into at most this many parts along an axis


@dataclass(frozen=True)
class Ellipsoid:
    """One additive structure: intensity inside |r - centre| < half axes, turned in the x-y plane.

    Attributes
    ----------
    intensity
        Intensity that is added inside; the brightest tissue (fat) has 1.
    half_axes, centre
        (x, y, z) in half box widths.
    angle_deg
        Angle of the first half axis against x.
    folds, fold_depth
        Number of waves along the circumference, and their depth relative to the radius.
    """

    intensity: float
    half_axes: Triple
    centre: Triple = (0.0, 0.0, 0.0)
    angle_deg: float = 0.0
    folds: int = 0
    fold_depth: float = 0.0


HEAD = (
    Ellipsoid(1.00, (0.76, 0.96, 0.98)),  # scalp
    Ellipsoid(-0.88, (0.71, 0.91, 0.93)),  # skull
    Ellipsoid(0.10, (0.67, 0.87, 0.89)),  # cerebrospinal fluid
)
BRAIN = (
    Ellipsoid(0.33, (0.63, 0.83, 0.85), folds=22, fold_depth=0.025),  # grey matter
    Ellipsoid(0.24, (0.53, 0.73, 0.75), (0.0, 0.0, 0.04), folds=13, fold_depth=0.10),  # white matter
    Ellipsoid(-0.30, (0.010, 0.30, 0.60), (0.0, -0.55, 0.1)),  # fissure, in front and behind
    Ellipsoid(-0.30, (0.010, 0.24, 0.60), (0.0, 0.60, 0.1)),
    Ellipsoid(-0.54, (0.075, 0.27, 0.26), (-0.12, -0.05, 0.10), 14.0),  # lateral ventricles
    Ellipsoid(-0.54, (0.075, 0.25, 0.26), (0.12, -0.05, 0.10), -14.0),
    Ellipsoid(-0.50, (0.022, 0.11, 0.20), (0.0, 0.16, -0.12)),  # third ventricle
    Ellipsoid(-0.17, (0.085, 0.14, 0.16), (-0.24, 0.03, -0.02), -20.0),  # deep nuclei
    Ellipsoid(-0.17, (0.085, 0.14, 0.16), (0.24, 0.03, -0.02), 20.0),
    Ellipsoid(-0.20, (0.035, 0.10, 0.14), (-0.38, 0.02, -0.05), -12.0, 5, 0.1),
    Ellipsoid(-0.20, (0.035, 0.10, 0.14), (0.38, 0.02, -0.05), 12.0, 5, 0.1),
    Ellipsoid(0.13, (0.09, 0.06, 0.12), (0.30, 0.36, 0.16), 30.0, 7, 0.12),  # lesions
    Ellipsoid(-0.15, (0.035, 0.035, 0.06), (-0.33, 0.35, -0.20)),
    Ellipsoid(0.20, (0.016, 0.016, 0.70), (0.10, -0.62, 0.0)),  # vessels
    Ellipsoid(0.20, (0.012, 0.012, 0.70), (-0.09, -0.64, 0.0)),
    Ellipsoid(0.40, (0.022, 0.022, 0.80), (0.0, 0.81, 0.0)),
    *(  # resolution pattern: bars whose width and distance shrink
        Ellipsoid(-0.25, (width, 0.07, 0.45), (x, -0.42, 0.0))
        for x, width in ((-0.42, 0.018), (-0.36, 0.014), (-0.31, 0.011), (-0.27, 0.008), (-0.24, 0.006))
    ),
)
TEXTURE_DEPTH = 0.04  # fraction of the brain's intensity
TEXTURE_WAVES = ((5.0, 3.0, 2.0, 0.3), (-4.0, 7.0, 3.0, 1.1), (11.0, 9.0, -4.0, 2.0), (17.0, -13.0, 5.0, 0.7))


def positions(n: int, field_of_view: float = 1.0, centre: float = 0.0) -> FloatArray:
    """Pixel centres (k - n // 2) * 2 f / n + centre along one axis, in half box widths."""
    return ((np.arange(n) - n // 2) * (2 * field_of_view / n) + centre).astype(np.float32)


def phantom(
    shape: tuple[int, int, int], field_of_view: Triple = (1.0, 1.0, 1.0), centre: Triple = (0.0, 0.0, 0.0)
) -> ComplexArray:
    """Draw the complex head.

    Parameters
    ----------
    shape
        Matrix size (z, y, x); z = 1 for a slice.
    field_of_view
        (z, y, x) relative to the object's box; for a slice, z is its thickness.
    centre
        Centre (z, y, x) of the field of view in half box widths.

    Returns
    -------
    Complex64 (z, y, x); the magnitude is 0 outside the head and its maximum is about 1.
    """
    voxel = tuple(2 * f / n for f, n in zip(field_of_view, shape, strict=True))
    z, y, x = (positions(n, f, c) for n, f, c in zip(shape, field_of_view, centre, strict=True))
    head, brain = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for ellipsoids, volume in ((HEAD, head), (BRAIN, brain)):
        for ellipsoid in ellipsoids:
            _add(volume, ellipsoid, (z, y, x), voxel)
    magnitude = np.maximum(head + brain * (1 + TEXTURE_DEPTH * _texture(z, y, x)), 0)
    return (magnitude * smooth_phase(z, y, x)).astype(np.complex64)


def smooth_phase(z: FloatArray, y: FloatArray, x: FloatArray) -> ComplexArray:
    """Phase factor of the object, complex64 (z, y, x): a slowly varying function of the positions in half box widths."""
    z, y, x = z[:, None, None], y[:, None], x
    phase = (
        0.4
        + 0.9 * x
        - 0.6 * y
        + 0.5 * z
        + 0.7 * x * y
        - 0.5 * (x**2 + 1.3 * y**2)
        + 0.35 * np.sin(2.3 * x + 1.7 * y - z)
    )
    factor: ComplexArray = np.exp(1j * phase).astype(np.complex64)
    return factor


def coil_maps(
    n_coils: int,
    shape: tuple[int, int, int],
    field_of_view: Triple = (1.0, 1.0, 1.0),
    centre: Triple = (0.0, 0.0, 0.0),
) -> ComplexArray:
    """Sensitivities of coils on rings around the head, like a birdcage, with sum_c |S_c|^2 = 1 everywhere.

    S_c ~ exp(i phi_c) / (1 + d_c^2 / w^2), with d_c the distance to coil c and phi_c the angle under which it sees the
    position.

    Parameters
    ----------
    n_coils
        1 or more; more than 8 coils are spread over several rings along z.
    shape, field_of_view, centre
        Grid and position, as in `phantom`.

    Returns
    -------
    Complex64 (coil, z, y, x).

    Raises
    ------
    ValueError
        When `n_coils` is below 1.
    """
    if n_coils < 1:
        raise ValueError(f"at least one coil is needed, got n_coils = {n_coils}")
    z, y, x = (positions(n, f, c) for n, f, c in zip(shape, field_of_view, centre, strict=True))
    n_rings = -(-n_coils // COILS_PER_RING)
    maps = np.empty((n_coils, *shape), np.complex64)
    for coil in range(n_coils):
        ring, index_in_ring = coil % n_rings, coil // n_rings
        n_in_ring = len(range(ring, n_coils, n_rings))
        angle = 2 * np.pi * (index_in_ring + ring / n_rings) / n_in_ring
        height = 1.2 * ((ring + 0.5) / n_rings - 0.5)
        maps[coil] = coil_sensitivity(z, y, x, angle, height)
    maps /= np.sqrt(np.sum(maps.real**2 + maps.imag**2, axis=0))
    return maps


def coil_sensitivity(z: FloatArray, y: FloatArray, x: FloatArray, angle: float, height: float) -> ComplexArray:
    """Sensitivity (z, y, x), not normalised, of one coil at an angle (rad) around the z axis and a height along it."""
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    dx, dy = x - np.float32(COIL_RADIUS) * cos, y[:, None] - np.float32(COIL_RADIUS) * sin
    dz = z[:, None, None] - np.float32(height)
    size = 1 / (1 + (dx**2 + dy**2 + dz**2) / np.float32(COIL_WIDTH**2))
    # the angle jumps behind the coil; measured from a point farther out, the jump lies outside the field of view
    depth, side = np.float32(2) - dx * cos - dy * sin, dy * cos - dx * sin
    direction = (depth + 1j * side).astype(np.complex64)
    direction *= np.complex64(np.exp(1j * angle)) / np.hypot(depth, side)
    coil: ComplexArray = size * direction
    return coil


def _add(volume: FloatArray, ellipsoid: Ellipsoid, grid: tuple[FloatArray, ...], voxel: tuple[float, ...]) -> None:
    """Add the ellipsoid to the volume: intensity times the share of each voxel that lies inside."""
    reach = max(ellipsoid.half_axes[:2]) * (1 + ellipsoid.fold_depth)
    half = (ellipsoid.half_axes[2], reach, reach)
    centre = ellipsoid.centre[::-1]
    box = []
    for axis, c, h, v in zip(grid, centre, half, voxel, strict=True):
        first, last = np.searchsorted(axis, (c - h - v, c + h + v))
        box.append(slice(int(first), int(last)))
    z, y, x = (axis[part] - np.float32(c) for axis, part, c in zip(grid, box, centre, strict=True))
    if not min(len(z), len(y), len(x)):
        return
    n_parts = _n_parts(ellipsoid, voxel)
    fine_z, fine_y, fine_x = (_divided(axis, v, n) for axis, v, n in zip((z, y, x), voxel, n_parts, strict=True))
    share = _share(ellipsoid, fine_z, fine_y, fine_x, tuple(v / n for v, n in zip(voxel, n_parts, strict=True)))
    parts = share.reshape(len(z), n_parts[0], len(y), n_parts[1], len(x), n_parts[2])
    volume[tuple(box)] += np.float32(ellipsoid.intensity) * parts.mean(axis=(1, 3, 5))


def _n_parts(ellipsoid: Ellipsoid, voxel: tuple[float, ...]) -> tuple[int, ...]:
    """Number of parts into which a voxel is divided along each axis.

    `_share` replaces the surface by a plane, which is wrong where the surface is curved within a voxel.
    """
    min_axis = min(ellipsoid.half_axes[:2])
    min_parts = 2 if ellipsoid.folds else 1
    wanted = [math.ceil(2 * v / h) for v, h in zip(voxel, (ellipsoid.half_axes[2], min_axis, min_axis), strict=True)]
    return min(wanted[0], MAX_PARTS), *(min(max(n, min_parts), MAX_PARTS) for n in wanted[1:])


def _divided(axis: FloatArray, voxel: float, n_parts: int) -> FloatArray:
    """Centres of the parts of each voxel."""
    offsets = ((np.arange(n_parts) + 0.5) / n_parts - 0.5) * voxel
    return (axis[:, None] + offsets.astype(np.float32)).reshape(-1)


def _share(ellipsoid: Ellipsoid, z: FloatArray, y: FloatArray, x: FloatArray, voxel: tuple[float, ...]) -> FloatArray:
    """Share of each voxel inside the surface q(r) = 0: 1/2 - q / sum_i |dq/dr_i| v_i, clipped to 0..1."""
    a, b, c = ellipsoid.half_axes
    cos, sin = np.cos(np.radians(ellipsoid.angle_deg)), np.sin(np.radians(ellipsoid.angle_deg))
    u = (cos * x + sin * y[:, None]).astype(np.float32) / np.float32(a)
    v = (cos * y[:, None] - sin * x).astype(np.float32) / np.float32(b)
    w = z[:, None, None] / np.float32(c)
    radius_squared: FloatArray | float = 1.0
    if ellipsoid.folds:
        angle = np.arctan2(v, u)
        radius_squared = (1 + ellipsoid.fold_depth * np.cos(ellipsoid.folds * angle + 2.0 * np.sin(3 * angle))) ** 2
    q = u**2 + v**2 + w**2 - radius_squared
    slope = 2 * (
        np.abs(u * (cos / a) - v * (sin / b)) * voxel[2]
        + np.abs(u * (sin / a) + v * (cos / b)) * voxel[1]
        + np.abs(w / c) * voxel[0]
    )
    share: FloatArray = np.clip(0.5 - q / np.maximum(slope, 1e-6), 0, 1).astype(np.float32)
    return share


def _texture(z: FloatArray, y: FloatArray, x: FloatArray) -> FloatArray:
    """Mild tissue texture within -1..1: the mean of a few waves."""
    total = np.zeros((len(z), len(y), len(x)), np.float32)
    for kx, ky, kz, offset in TEXTURE_WAVES:
        total += np.sin((kx * x + ky * y[:, None]) + (kz * z[:, None, None] + offset)).astype(np.float32)
    return total / np.float32(len(TEXTURE_WAVES))
