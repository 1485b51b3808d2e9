"""Buckets and buffered k-space, as Gadgetron hands them on, into slices."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import ismrmrd
import numpy as np
import numpy.typing as npt

from nilatron.core.backend import ComplexArray, FloatArray
from nilatron.core.kspace import KSpaceAccumulator, calibration_block
from nilatron.gadgets.accumulate import centred_block
from nilatron.gadgets.encoding import SEPARATE_MODES, calibration_mode, encoding_of
from nilatron.gadgets.flags import LineKind, kind_of
from nilatron.gadgets.items import Context, KSpaceSlice, ScanError
from nilatron.gadgets.stock import grid
from nilatron.gadgets.stock.types import AcquisitionBucketStats, header_object

_LineMask: TypeAlias = npt.NDArray[np.bool_]
_IMAGE_KEY = ("slice", "contrast", "phase", "repetition", "set")
_Position: TypeAlias = tuple[int, int, int]  # N, S, LOC
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Grid:
    """K-space (coil, z, y, x) and counts (z, y, x) with DC at n // 2."""

    kspace: ComplexArray
    counts: FloatArray


def slices_from_recon_data(recon_data: Any, context: Context) -> Iterator[KSpaceSlice]:
    """One slice per N, S and LOC of each encoding space; those that differ only in average or segment become one.

    The sampling mask comes from the headers (`number_of_samples` > 0) and, along the readout, from the sampling
    limits; DC lies at n // 2 of the encoded grid (y, z) and of E0 (x). Calibration lines that belong to the scan
    (any mode but "separate" and "external") are filled into k-space where imaging lines are missing. The calibration
    block is cropped to what is fully sampled around DC: of `ref` if it is another scan, else of k-space so filled.
    `whitened` is left False: only the chain knows.

    Parameters
    ----------
    recon_data
        `gadgets.stock.types.ReconData`, or that of the PyPI package `gadgetron`. Arrays may be read-only.
    context
        Its header describes the encoding spaces.

    Raises
    ------
    ScanError
        Encoding space without a description, or data that do not fit into the encoded matrix.
    """
    for bit in recon_data.bits:
        if bit.data.data.size == 0 or not _line_mask(bit.data.headers).any():
            _logger.warning("ReconData with an encoding space without imaging lines; left out")
            continue
        for images in _images_of(bit.data).values():
            yield _slice_of_bit(bit, images, context)


def slices_from_bucket(bucket: Any, context: Context) -> Iterator[KSpaceSlice]:
    """One slice per slice, contrast, phase, repetition and set of a bucket; averages and segments are put together.

    Repeated lines are averaged and counted. Calibration lines are treated as in `slices_from_recon_data`.

    Parameters
    ----------
    bucket
        `gadgets.stock.types.AcquisitionBucket`, or that of the PyPI package `gadgetron`.
    context
        Its header describes the encoding spaces.

    Raises
    ------
    ScanError
        As `slices_from_recon_data`, and for lines outside the encoding limits or with other numbers of channels.
    """
    refs = _sorted_lines(bucket.ref)
    for key, lines in _sorted_lines(bucket.data).items():
        encoding = encoding_of(context.header, key[0])
        calibration = refs.get(key, [])
        if calibration_mode(encoding) not in SEPARATE_MODES:
            lines = [*lines, *(line for line in calibration if kind_of(line.flags) is LineKind.CALIBRATION)]
            calibration = []
        n_x = max(grid.readout_length(line) for line in (*lines, *calibration))
        data = _grid_of_lines(lines, encoding, n_x, context)
        ref = _grid_of_lines(calibration, encoding, n_x, context) if calibration else None
        yield _slice(data, ref, _central_line(lines, encoding), encoding)


def _sorted_lines(lines: Iterable[ismrmrd.Acquisition]) -> dict[tuple[int, ...], list[ismrmrd.Acquisition]]:
    groups: dict[tuple[int, ...], list[ismrmrd.Acquisition]] = {}
    for line in lines:
        key = (int(line.encoding_space_ref), *(int(getattr(line.idx, name)) for name in _IMAGE_KEY))
        groups.setdefault(key, []).append(line)
    return groups


def _grid_of_lines(lines: list[ismrmrd.Acquisition], encoding: Any, n_x: int, context: Context) -> _Grid:
    matrix = encoding.encodedSpace.matrixSize
    stats = AcquisitionBucketStats()
    for line in lines:
        stats.add(line.idx)
    layout = grid.layout(encoding, stats, is_ref=False)
    shape = (int(matrix.z), int(matrix.y), n_x)
    accumulator = KSpaceAccumulator(lines[0].active_channels, shape, np)
    for line in lines:
        where = layout.position(line, context.log)
        if where is None:
            continue
        samples = line.data[:, line.discard_pre : line.number_of_samples - line.discard_post]
        _add(accumulator, samples, (where[1], where[0], grid.readout_start(line, n_x)), None)
    return _Grid(accumulator.mean(), accumulator.counts)


def _central_line(lines: list[ismrmrd.Acquisition], encoding: Any) -> ismrmrd.AcquisitionHeader:
    centre_y, centre_z = _centre_steps(encoding)
    return min(
        lines,
        key=lambda line: abs(line.idx.kspace_encode_step_1 - centre_y) + abs(line.idx.kspace_encode_step_2 - centre_z),
    ).getHead()


def _centre_steps(encoding: Any) -> tuple[int, int]:
    matrix = encoding.encodedSpace.matrixSize
    return (
        grid.limit_of(encoding, 1, int(matrix.y)).center,
        grid.limit_of(encoding, 2, int(matrix.z)).center,
    )


def _images_of(buffer: Any) -> dict[tuple[int, ...], list[_Position]]:
    """Positions (N, S, LOC) with data, by the indices that tell images apart."""
    images: dict[tuple[int, ...], list[_Position]] = {}
    for n, s, loc in np.ndindex(*buffer.data.shape[4:]):
        where = (n, s, loc)
        if _line_mask(buffer.headers[(..., *where)]).any():
            idx = _central_header(buffer, where).idx
            images.setdefault(tuple(int(getattr(idx, name)) for name in _IMAGE_KEY), []).append(where)
    return images


def _central_header(buffer: Any, where: _Position) -> ismrmrd.AcquisitionHeader:
    headers, limits = buffer.headers[(..., *where)], buffer.sampling.sampling_limits
    lines = np.argwhere(_line_mask(headers))
    distance = np.abs(lines - (limits[1].center, limits[2].center)).sum(axis=1)
    return header_object(headers[tuple(lines[np.argmin(distance)])])


def _slice_of_bit(bit: Any, images: list[_Position], context: Context) -> KSpaceSlice:
    limits = bit.data.sampling.sampling_limits
    head = _central_header(bit.data, images[0])
    encoding = encoding_of(context.header, head.encoding_space_ref)
    centre = (limits[1].center, limits[2].center)
    data = _mean(
        _grid_of_buffer(bit.data, where, encoding, centre, _line_mask(bit.data.headers[(..., *where)]))
        for where in images
    )
    refs = [_ref_grid(bit.ref, where, encoding) for where in _ref_positions(bit.ref, images)]
    found = [ref for ref in refs if ref is not None]
    return _slice(data, _mean(found) if found else None, head, encoding)


def _ref_positions(ref: Any, images: list[_Position]) -> list[_Position]:
    """Positions of the calibration lines; fewer N, S or LOC than the data have means common ones."""
    if ref is None or ref.data.size == 0:
        return []
    last_n, last_s, last_loc = (n_own - 1 for n_own in ref.data.shape[4:])
    return list(dict.fromkeys((min(n, last_n), min(s, last_s), min(loc, last_loc)) for n, s, loc in images))


def _mean(grids: Iterable[_Grid]) -> _Grid:
    """Average of grids, each sample weighted by how often it was acquired."""
    first, *others = grids
    if not others:
        return first
    counts = first.counts + sum(other.counts for other in others)
    total = first.kspace * first.counts
    for other in others:
        total += other.kspace * other.counts
    return _Grid(total / np.maximum(counts, 1), counts)


def _ref_grid(ref: Any, own: _Position, encoding: Any) -> _Grid | None:
    """Put the calibration lines of one position on a grid; None where there are none."""
    limits = ref.sampling.sampling_limits
    centre = (limits[1].center, limits[2].center)
    headers = ref.headers[(..., *own)] if ref.headers.shape[2:] == ref.data.shape[4:] else None
    if headers is not None and headers.shape == ref.data.shape[1:3] and _line_mask(headers).any():
        mask = _line_mask(headers)
        centre = _centre_by_index(headers, mask, encoding)
    else:  # cropped after its headers were written
        mask = np.any(ref.data[(..., *own)] != 0, axis=(0, 3))
    if not mask.any():
        return None
    return _grid_of_buffer(ref, own, encoding, centre, mask)


def _centre_by_index(headers: Any, mask: _LineMask, encoding: Any) -> tuple[int, int]:
    """Where DC lies in an array whose lines may start at any step: index of a line - its step + central step."""
    e1, e2 = (int(index) for index in np.argwhere(mask)[0])
    idx = header_object(headers[e1, e2]).idx
    centre_y, centre_z = _centre_steps(encoding)
    return e1 - idx.kspace_encode_step_1 + centre_y, e2 - idx.kspace_encode_step_2 + centre_z


def _grid_of_buffer(buffer: Any, where: _Position, encoding: Any, centre: tuple[int, int], mask: _LineMask) -> _Grid:
    """Put the acquired samples of one image on the encoded grid, DC at n // 2."""
    matrix = encoding.encodedSpace.matrixSize
    samples = buffer.data[(..., *where)]  # (E0, E1, E2, CHA)
    readout = buffer.sampling.sampling_limits[0]
    n_e0 = samples.shape[0]
    first, last, centre_x = int(readout.min), int(readout.max), int(readout.center)
    is_trimmed = n_e0 == last - first + 1 and n_e0 <= last  # the limits speak of the line before samples were discarded
    shift = first if is_trimmed else 0
    n_x = max(n_e0, 2 * centre_x) if is_trimmed else n_e0
    shape = (int(matrix.z), int(matrix.y), n_x)
    usable = (0, n_e0) if is_trimmed else (first, min(last, n_e0 - 1) + 1)
    accumulator = KSpaceAccumulator(samples.shape[3], shape, np)
    for e1, e2 in np.argwhere(mask):
        y = int(e1) - centre[0] + shape[1] // 2
        z = int(e2) - centre[1] + shape[0] // 2
        _add(accumulator, samples[:, e1, e2, :].T, (z, y, n_x // 2 - centre_x + shift), usable)
    return _Grid(accumulator.mean(), accumulator.counts)


def _add(
    accumulator: KSpaceAccumulator, samples: ComplexArray, place: tuple[int, int, int], usable: tuple[int, int] | None
) -> None:
    try:
        accumulator.add(samples, *place, usable)
    except ValueError as error:
        raise ScanError(f"a line does not fit into the encoded matrix of the header: {error}") from error


def _line_mask(headers: Any) -> _LineMask:
    """Which entries of a header array, structured or of objects, belong to acquired lines."""
    if headers.dtype.names:
        return np.asarray(headers["number_of_samples"] > 0)
    counts = [head.number_of_samples > 0 for head in headers.flat]
    return np.asarray(counts, dtype=bool).reshape(headers.shape)


def _slice(data: _Grid, ref: _Grid | None, head: ismrmrd.AcquisitionHeader, encoding: Any) -> KSpaceSlice:
    is_same_scan = calibration_mode(encoding) not in SEPARATE_MODES
    if ref is not None and is_same_scan and ref.kspace.shape == data.kspace.shape:
        missing = (data.counts == 0) & (ref.counts > 0)
        data.kspace[:, missing] = ref.kspace[:, missing]
        data.counts[missing] = ref.counts[missing]
    blocks = [calibration_block(data.kspace, data.counts)]
    if ref is not None and is_same_scan:
        blocks.append(calibration_block(ref.kspace, ref.counts))
    elif ref is not None:
        blocks.insert(0, centred_block(ref.kspace, ref.counts))
    calibration = next((block for block in blocks if block is not None), None)
    return KSpaceSlice(
        kspace=data.kspace,
        counts=data.counts,
        calibration=None if calibration is None else np.ascontiguousarray(calibration),
        head=head,
        encoding=encoding,
    )
