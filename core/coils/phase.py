"""Phase reference of coil maps without vortices (Uecker and Lustig, MRM 2017;77:1201).

Maps are known up to a phase at each pixel, which a reference coil fixes: w^H S is real and positive. Where w^H S vanishes
inside the object the phase turns once around that point, and no map is smooth there. The turns do not depend on the
reference alone: from pixel to pixel the maps turn by the phase of S(r)^H S(r'), and around four pixels these add up to 2 pi
times the number of vortices, or to almost 0.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

from nilatron.core.backend import Array, converted_to, namespace

N_RANDOM = 64  # combinations of coils that are tried
SPATIAL = (1, 2, 3)


def n_vortices(maps: Array) -> int:
    """Pixels (lower corners of squares of four, in each plane) of maps (coil, z, y, x) around which their phase turns."""
    xp = namespace(maps)
    seen = xp.any(maps != 0, axis=0)
    total = 0
    for a, b in itertools.combinations([axis for axis in SPATIAL if maps.shape[axis] > 1], 2):
        corners = [_part(maps, {a: i, b: j}) for i, j in ((0, 0), (1, 0), (1, 1), (0, 1))]
        inside = [_part(seen[None], {a: i, b: j})[0] for i, j in ((0, 0), (1, 0), (1, 1), (0, 1))]
        turn = xp.zeros_like(xp.real(corners[0][0]))
        for one, other in itertools.pairwise([*corners, corners[0]]):
            product = xp.sum(xp.conj(one) * other, axis=0)
            turn = turn + xp.atan2(xp.imag(product), xp.real(product))
        whole = inside[0] & inside[1] & inside[2] & inside[3]
        total += int(xp.sum(xp.astype(whole & (xp.abs(turn) > math.pi), xp.int64)))
    return total


def better_reference(maps: Array) -> Array | None:
    """Weights w (coil) that leave the fewest vortices in maps (coil, z, y, x); None where these have none, or no w helps."""
    least = n_vortices(maps)
    if least == 0:
        return None
    best: Array | None = None
    for weights in _candidates(maps):
        found = n_vortices(referenced(maps, weights))
        if found < least:
            least, best = found, weights
        if least == 0:
            break
    return best


def referenced(maps: Array, weights: Array) -> Array:
    """Maps (coil, ...), turned at each pixel so that w^H S is real and not negative."""
    xp = namespace(maps)
    reference = xp.tensordot(xp.conj(weights), maps, axes=1)
    size = xp.abs(reference)
    turn = xp.where(
        size > 0, xp.conj(reference) / xp.where(size > 0, size, xp.ones_like(size)), xp.ones_like(reference)
    )
    return maps * turn[None]


def _candidates(maps: Array) -> list[Array]:
    """Single coils and random combinations; those that stay largest where they are smallest come first."""
    xp, n_coils = namespace(maps), int(maps.shape[0])
    rng = np.random.default_rng(0)
    parts = rng.standard_normal((2, N_RANDOM, n_coils))
    host = np.concatenate([np.eye(n_coils), parts[0] + 1j * parts[1]])
    host /= np.linalg.norm(host, axis=1, keepdims=True)
    weights = xp.astype(converted_to(host, maps), maps.dtype)
    flat = xp.reshape(maps, (n_coils, -1))
    values = xp.abs(xp.conj(weights) @ flat)
    values = xp.where(xp.any(flat != 0, axis=0), values, xp.ones_like(values))
    order = [int(i) for i in xp.argsort(xp.min(values, axis=1), descending=True)]
    return [weights[i] for i in order]


def _part(maps: Array, starts: dict[int, int]) -> Array:
    """All but the last (start 0) or the first (start 1) pixel along the axes."""
    index = [slice(None)] * maps.ndim
    for axis, start in starts.items():
        index[axis] = slice(start, int(maps.shape[axis]) - 1 + start)
    return maps[tuple(index)]
