"""Which lines are acquired, in which order, with which flags."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

import ismrmrd

from nilatron.pipelines.simulation.settings import SimulationSettings


class Line(NamedTuple):
    """One line to be acquired, before it has data."""

    slice: int
    contrast: int
    average: int
    repetition: int
    y: int  # positions on the encoded grid
    z: int
    flags: tuple[int, ...] = ()


def slice_order(settings: SimulationSettings) -> list[int]:
    """Slices in the order of their acquisition."""
    slices = list(range(settings.n_slices))
    return slices[::2] + slices[1::2] if settings.slice_order == "interleaved" else slices


def _phase_encodes(settings: SimulationSettings) -> tuple[list[Line], list[Line]]:
    """Calibration lines of their own, and imaging lines with embedded calibration, of one slice."""
    _, n_y, n_z = settings.matrix
    grid = {
        (z, y)
        for z, y in product(range(n_z), range(settings.first_line, n_y))
        if (y - n_y // 2) % settings.acceleration == 0 and (z - n_z // 2) % settings.acceleration_z == 0
    }
    block: set[tuple[int, int]] = set()
    if settings.is_accelerated and settings.calibration != "none":
        n_block = settings.calibration_lines
        rows, planes = _middle(n_y, n_block), _middle(n_z, n_block if settings.acceleration_z > 1 else n_z)
        block = {(z, y) for z, y in product(planes, rows) if y >= settings.first_line}
    if settings.calibration == "separate":
        flag = (ismrmrd.ACQ_IS_PARALLEL_CALIBRATION,)
        separate = [Line(0, 0, 0, 0, y, z, flag) for z, y in sorted(block)]
        return separate, [Line(0, 0, 0, 0, y, z) for z, y in sorted(grid)]
    both, only = ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING, ismrmrd.ACQ_IS_PARALLEL_CALIBRATION
    flags = {place: (() if place not in block else (both,) if place in grid else (only,)) for place in grid | block}
    return [], [Line(0, 0, 0, 0, y, z, flags[z, y]) for z, y in sorted(flags)]


def _middle(n: int, n_block: int) -> range:
    first = max(n // 2 - n_block // 2, 0)
    return range(first, min(first + n_block, n))


def contrast_blocks(settings: SimulationSettings) -> Iterator[list[Line]]:
    """Lines of one contrast of one repetition, all slices and averages, in order of time."""
    separate, imaging = _phase_encodes(settings)
    order = slice_order(settings)
    for repetition, contrast in product(range(settings.n_repetitions), range(settings.n_contrasts)):
        one = [line._replace(repetition=repetition, contrast=contrast) for line in imaging]
        averaged = [line._replace(average=average) for average in range(settings.n_averages) for line in one]
        first_pass = repetition == 0 and contrast == 0
        per_slice = [
            [line._replace(slice=index) for line in [*(separate if first_pass else []), *averaged]] for index in order
        ]
        if settings.slice_order == "line":
            yield [line for lines in zip(*per_slice, strict=True) for line in lines]
        else:
            yield [line for lines in per_slice for line in lines]


def with_flags(lines: list[Line], settings: SimulationSettings) -> Iterator[Line]:
    """Add FIRST and LAST flags: of average and slice among the lines of that slice, of the rest among all of them."""
    extent: dict[tuple[str, int, int], list[int]] = {}
    for number, line in enumerate(lines):
        if ismrmrd.ACQ_IS_PARALLEL_CALIBRATION in line.flags and settings.calibration == "separate":
            continue
        for key in (("SLICE", line.slice, 0), ("AVERAGE", line.slice, line.average), ("CONTRAST", 0, 0)):
            extent.setdefault(key, [number, number])[1] = number
    added: dict[int, list[int]] = {}
    for (name, _, _), (first, last) in extent.items():
        added.setdefault(first, []).append(getattr(ismrmrd, f"ACQ_FIRST_IN_{name}"))
        added.setdefault(last, []).append(getattr(ismrmrd, f"ACQ_LAST_IN_{name}"))
    first, last = extent["CONTRAST", 0, 0]
    if lines[last].contrast == 0:
        added[first].append(ismrmrd.ACQ_FIRST_IN_REPETITION)
    if lines[last].contrast == settings.n_contrasts - 1:
        added[last].append(ismrmrd.ACQ_LAST_IN_REPETITION)
        if lines[last].repetition == settings.n_repetitions - 1:
            added[last].append(ismrmrd.ACQ_LAST_IN_MEASUREMENT)
    for number, line in enumerate(lines):
        yield line._replace(flags=(*line.flags, *added.get(number, ())))
