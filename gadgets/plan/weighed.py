"""What the header says about encoding, weighed against the lines: limits, matrices and modes left from another scan.

    limits 0 to 0 of a matrix of many           never set: along y the limits of the matrix, along z a scan of slices
    lines beyond the limits, on the matrix      the limits are those of another scan: widened, the centre in the middle
    limits beyond the matrix, lines on it       the limits are those of another scan: those of the matrix
    no limits, lines beyond the matrix that fit into it         counted from another number than 0: limits where they are
    limits and lines agree, beyond the matrix   the matrix is that of another scan: as large as the limits
    limits that fill the matrix                 their centre can only be that of the matrix: other ones push lines off it
    reconSpace of one partition of a volume     the number or thickness of slices of another kind: that of encodedSpace
    no line beyond the first partition, limits agree or say nothing     a scan of slices, whatever the matrix counts along z

Calibration modes are weighed in `plan.modes`. The centre that is guessed here is looked at again when there are data
(`plan.centre`). A line off limits and matrix is an error
of its own (`placement`).
"""

from __future__ import annotations

import copy
import logging
from typing import Any

import ismrmrd.xsd as xsd
import numpy as np
import numpy.typing as npt

from nilatron.gadgets.encoding import Limit, acceleration_factors, encoding_limit
from nilatron.gadgets.plan.contradictions import Heads, imaging
from nilatron.gadgets.plan.modes import weigh_modes

log = logging.getLogger(__name__)

AXES = ((1, "y"), (2, "z"))
ONE_PARTITION = 1.5  # partitions: a volume that holds fewer is one slice


def weighed_header(header: Any, heads: Heads | None = None) -> Any:
    """The header of `weigh`, which says in the log what it changes."""
    weighed, said = weigh(header, heads)
    for text in said:
        log.warning("%s", text)
    return weighed


def weigh(header: Any, heads: Heads | None = None) -> tuple[Any, list[str]]:
    """The header with limits, matrices and modes that the lines do not contradict, and what was changed, in sentences.

    Parameters
    ----------
    header
        Parsed ISMRMRD header; it is not changed, and returned as it is where it is right.
    heads
        Table of the heads of all lines, where they are known; without them the header is weighed against itself.
    """
    weighed = copy.deepcopy(header)
    said: list[str] = []
    for number, encoding in enumerate(weighed.encoding):
        lines = imaging(heads, number) if heads is not None else None
        for step, axis in AXES:
            steps = None if lines is None else np.unique(lines["idx"][f"kspace_encode_step_{step}"])
            text = _weigh(encoding, step, axis, steps)
            said += [f"encoding {number}: {text}"] if text else []
        text = _weigh_recon(encoding)
        said += [f"encoding {number}: {text}"] if text else []
    said += weigh_modes(weighed, heads)
    return (weighed, said) if said else (header, [])


def widened(encoding: Any, step: int, index: int) -> int:
    """Let the limits of an axis reach a line on the matrix that lies beyond them; rows by which earlier lines move.

    0, and nothing changed, where the limits hold or the line is off the matrix.
    """
    size = _size(encoding, "y" if step == 1 else "z")
    limit = encoding_limit(encoding, step, size)
    if limit is None or limit.minimum <= index <= limit.maximum or not 0 <= index < size:
        return 0
    new = Limit(min(limit.minimum, index), size // 2, max(limit.maximum, index))
    _set_limit(encoding, step, new)
    log.warning(
        "kspace_encode_step_%d = %d lies beyond the header's limits %d to %d, and on its matrix: taken as %d to %d, centre %d",
        *(step, index, limit.minimum, limit.maximum, new.minimum, new.maximum, new.centre),
    )
    return limit.centre - new.centre


def _weigh(encoding: Any, step: int, axis: str, steps: npt.NDArray[Any] | None) -> str:
    """Change an encoding where its numbers contradict each other or the lines; what was done, empty if nothing."""
    size = _size(encoding, axis)
    limit = encoding_limit(encoding, step, size)
    seen = None if steps is None or not len(steps) else (int(steps[0]), int(steps[-1]))
    is_unset = limit is not None and limit.maximum == 0 and size > 1
    if step == 2 and size > 1 and (is_unset or limit is None) and (seen == (0, 0) or (seen is None and is_unset)):
        _set_size(encoding, axis, 1)
        return f"the matrix has z = {size}, limits and lines have one partition: taken as slices"
    if is_unset and (seen is None or seen[1] < size) and seen != (0, 0):
        _set_limit(encoding, step, Limit(0, size // 2, size - 1))
        return f"the limits of kspace_encode_step_{step} go from 0 to 0: taken as those of the matrix, 0 to {size - 1}"
    if limit is not None and limit.maximum - limit.minimum + 1 == size > 1:
        middle, low, high = limit.minimum + size // 2, *(seen or (limit.minimum, limit.maximum))
        fits = limit.centre - size // 2 <= low <= high < limit.centre - size // 2 + size
        if abs(limit.centre - middle) > 1 and not fits and limit.minimum <= low <= high <= limit.maximum:
            _set_limit(encoding, step, Limit(limit.minimum, middle, limit.maximum))
            return (
                f"the limits of kspace_encode_step_{step}, {limit.minimum} to {limit.maximum}, fill the matrix and have the "
                f"centre {limit.centre}: taken as {middle}"
            )
    if seen is None:
        return ""
    if (
        limit is not None
        and seen[1] < size
        and (not limit.minimum <= seen[0] <= seen[1] <= limit.maximum or limit.maximum - limit.minimum >= size)
    ):
        new = Limit(min(limit.minimum, seen[0]), size // 2, min(max(limit.maximum, seen[1]), size - 1))
        _set_limit(encoding, step, new)
        return (
            f"lines go from {seen[0]} to {seen[1]} along {axis} on a matrix of {size}, the header's limits from "
            f"{limit.minimum} to {limit.maximum}: taken as {new.minimum} to {new.maximum}, centre {new.centre}"
        )
    extent = seen[1] - seen[0] + 1
    if limit is None and extent <= size <= seen[1]:
        first = seen[0] - (size - extent) // 2
        new = Limit(seen[0], first + size // 2, seen[1])
        _set_limit(encoding, step, new)
        return (
            f"lines go from {seen[0]} to {seen[1]} along {axis} on a matrix of {size}, and the header has no limits: taken as "
            f"{new.minimum} to {new.maximum}, centre {new.centre}"
        )
    is_dense = steps is not None and len(steps) * acceleration_factors(encoding)[step - 1] * 2 > seen[1] - seen[0]
    if (
        seen[1] - seen[0] >= size
        and is_dense
        and (limit is None or limit.minimum <= seen[0] <= seen[1] <= limit.maximum)
    ):
        n = (seen[1] if limit is None else limit.maximum) + 1
        _set_size(encoding, axis, n)
        return f"lines go from {seen[0]} to {seen[1]} along {axis}, encodedSpace has {size}: taken as {n}"
    return ""


def _weigh_recon(encoding: Any) -> str:
    """Change a reconSpace that would make one slice of a volume; what was done, empty if nothing."""
    encoded, recon = encoding.encodedSpace, encoding.reconSpace
    size, fov_mm = int(encoded.matrixSize.z), float(encoded.fieldOfView_mm.z)
    if size < 2 or not fov_mm > 0 or recon is encoded:
        return ""
    old, old_mm = int(recon.matrixSize.z), float(recon.fieldOfView_mm.z)
    is_thin = old_mm * size < ONE_PARTITION * fov_mm
    if not is_thin and old != 1:
        return ""
    recon.fieldOfView_mm.z = fov_mm if is_thin else old_mm
    if old == 1:
        recon.matrixSize.z = max(1, round(size * float(recon.fieldOfView_mm.z) / fov_mm))
    return (
        f"encodedSpace has {size} partitions over {fov_mm:g} mm, reconSpace z = {old} over {old_mm:g} mm: taken as "
        f"{int(recon.matrixSize.z)} over {float(recon.fieldOfView_mm.z):g} mm"
    )


def _size(encoding: Any, axis: str) -> int:
    return int(getattr(encoding.encodedSpace.matrixSize, axis))


def _set_size(encoding: Any, axis: str, size: int) -> None:
    """Set the encoded matrix, and the recon matrix where it was the same."""
    old = _size(encoding, axis)
    for space in (encoding.encodedSpace, encoding.reconSpace):
        if int(getattr(space.matrixSize, axis)) == old:
            setattr(space.matrixSize, axis, size)


def _set_limit(encoding: Any, step: int, limit: Limit) -> None:
    if encoding.encodingLimits is None:
        encoding.encodingLimits = xsd.encodingLimitsType()
    stated = xsd.limitType(minimum=limit.minimum, maximum=limit.maximum, center=limit.centre)
    setattr(encoding.encodingLimits, f"kspace_encoding_step_{step}", stated)
