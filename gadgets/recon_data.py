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
from nilatron.core.kspace import calibration_block
from nilatron.gadgets.calibration import CalibrationStore
from nilatron.gadgets.encoding import encoding_of, has_separate_calibration
from nilatron.gadgets.flags import LineKind, kind_of
from nilatron.gadgets.items import Context, KSpaceSlice, ScanError
from nilatron.gadgets.placement import (
    ImageKey,
    add_readout,
    buffer_centre,
    buffer_columns,
    centre_by_index,
    grid_width,
    image_key,
    nearest,
    new_grid,
    readout_of,
    row_of,
)
from nilatron.gadgets.places import Places
from nilatron.gadgets.plan.centre import centred
from nilatron.gadgets.plan.weighed import widened
from nilatron.gadgets.stock.types import header_object

_LineMask: TypeAlias = npt.NDArray[np.bool_]
_Position: TypeAlias = tuple[int, int, int]  # N, S, LOC
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Grid:
    """K-space (coil, z, y, x) and counts (z, y, x) with DC at n // 2."""

    kspace: ComplexArray
    counts: FloatArray


def slices_from_recon_data(
    recon_data: Any, context: Context, calibration: CalibrationStore | None = None
) -> Iterator[KSpaceSlice]:
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
    calibration
        What earlier items of the scan brought, for images that come without; none if not given.

    Raises
    ------
    ScanError
        Encoding space without a description, or data that do not fit into the encoded matrix.
    """
    store = CalibrationStore(context.log) if calibration is None else calibration
    for bit in recon_data.bits:
        if bit.data.data.size == 0 or not _line_mask(bit.data.headers).any():
            _logger.warning("ReconData with an encoding space without imaging lines; left out, but for its calibration")
            _keep_calibration(bit.ref, context, store)
            continue
        for images in _images_of(bit.data).values():
            yield _slice_of_bit(bit, images, context, store)


def slices_from_bucket(
    bucket: Any, context: Context, calibration: CalibrationStore | None = None
) -> Iterator[KSpaceSlice]:
    """One slice per slice, contrast, phase, repetition and set of a bucket; averages and segments are put together.

    Repeated lines are averaged and counted. Calibration lines of another scan serve every image of their slice, here and in
    later buckets; those of the same scan are treated as in `slices_from_recon_data`.

    Parameters
    ----------
    bucket
        `gadgets.stock.types.AcquisitionBucket`, or that of the PyPI package `gadgetron`.
    context, calibration
        As for `slices_from_recon_data`.

    Raises
    ------
    ScanError
        As `slices_from_recon_data`, and for lines outside the encoding limits or with other numbers of channels.
    """
    store = CalibrationStore(context.log) if calibration is None else calibration
    same_scan = []
    for line in bucket.ref:
        encoding = encoding_of(context.header, line.encoding_space_ref)
        if has_separate_calibration(encoding):
            store.add(line)
        elif kind_of(line.flags) is LineKind.CALIBRATION:
            same_scan.append(line)
    refs = _by_image(same_scan)
    for key, lines in _by_image(bucket.data).items():
        yield from _slice_of_lines(key, [*lines, *refs.get(key, [])], context, store)


def _by_image(lines: Iterable[ismrmrd.Acquisition]) -> dict[ImageKey, list[ismrmrd.Acquisition]]:
    groups: dict[ImageKey, list[ismrmrd.Acquisition]] = {}
    for line in lines:
        groups.setdefault(image_key(line), []).append(line)
    return groups


def _slice_of_lines(
    key: ImageKey, lines: list[ismrmrd.Acquisition], context: Context, store: CalibrationStore
) -> Iterator[KSpaceSlice]:
    """The slice of all lines of an image; none where no line has a place."""
    encoding = encoding_of(context.header, key.encoding)
    for line in lines:
        for step in (1, 2):
            widened(encoding, step, int(getattr(line.idx, f"kspace_encode_step_{step}")))
    found = [(line, row_of(line, encoding, context.log, strict=False)) for line in lines]
    placed = [(readout_of(line), row, line) for line, row in found if row is not None]
    if not placed:
        return
    n_x = max(max(grid_width(readout, encoding), readout.n_samples) for readout, _, _ in placed)
    grid, places = new_grid(int(lines[0].active_channels), encoding, n_x), Places()
    for readout, row, line in placed:
        places.add(line)
        add_readout(grid, readout, row, context.log)
    n_z, n_y, _ = grid.shape
    _, _, central = placed[nearest([row for _, row, _ in placed], (n_z // 2, n_y // 2))]
    kspace, counts, note = centred(grid.mean(), grid.counts, f"slice {key.slice}", context.log)
    block = store.block(key, kspace, counts, context.header)
    item = places.settled(KSpaceSlice(kspace, counts, block, central.getHead(), encoding), context.log)
    yield item.with_note(note) if note else item


def _images_of(buffer: Any) -> dict[ImageKey, list[_Position]]:
    """Positions (N, S, LOC) with data, by the indices that tell images apart."""
    images: dict[ImageKey, list[_Position]] = {}
    for n, s, loc in np.ndindex(*buffer.data.shape[4:]):
        where = (n, s, loc)
        if _line_mask(buffer.headers[(..., *where)]).any():
            images.setdefault(image_key(_central_header(buffer, where)), []).append(where)
    return images


def _central_header(buffer: Any, where: _Position) -> ismrmrd.AcquisitionHeader:
    headers = buffer.headers[(..., *where)]
    entries = np.argwhere(_line_mask(headers)).tolist()
    return header_object(headers[tuple(entries[nearest(entries, buffer_centre(buffer.sampling))])])


def _slice_of_bit(bit: Any, images: list[_Position], context: Context, store: CalibrationStore) -> KSpaceSlice:
    head, centre = _central_header(bit.data, images[0]), buffer_centre(bit.data.sampling)
    encoding, key = encoding_of(context.header, head.encoding_space_ref), image_key(head)
    masks = (_line_mask(bit.data.headers[(..., *where)]) for where in images)
    grids = (_grid_of_buffer(bit.data, *place, encoding, centre) for place in zip(images, masks, strict=True))
    data = _mean(grids)
    refs = [_ref_grid(bit.ref, where, encoding) for where in _ref_positions(bit.ref, images)]
    found = [ref for ref in refs if ref is not None]
    ref = _mean(found) if found else None
    if ref is not None and has_separate_calibration(encoding):
        store.keep(key, ref.kspace, ref.counts)
    elif ref is not None:
        _fill(data, ref)
    kspace, counts, note = centred(data.kspace, data.counts, f"slice {key.slice}", context.log)
    block = store.block(key, kspace, counts, context.header)
    if block is None and ref is not None:
        block = calibration_block(ref.kspace, ref.counts)
    item = KSpaceSlice(kspace, counts, block, head, encoding)
    return item.with_note(note) if note else item


def _fill(data: _Grid, ref: _Grid) -> None:
    """Put calibration lines of the same scan where imaging lines are missing."""
    if ref.kspace.shape == data.kspace.shape:
        missing = (data.counts == 0) & (ref.counts > 0)
        data.kspace[:, missing] = ref.kspace[:, missing]
        data.counts[missing] = ref.counts[missing]


def _keep_calibration(ref: Any, context: Context, store: CalibrationStore) -> None:
    """Take over the calibration of another scan that came without images."""
    if ref is None or ref.data.size == 0 or ref.headers.shape[2:] != ref.data.shape[4:]:
        return
    for where in np.ndindex(*ref.data.shape[4:]):
        if _line_mask(ref.headers[(..., *where)]).any():
            head = _central_header(ref, where)
            encoding = encoding_of(context.header, head.encoding_space_ref)
            grid = _ref_grid(ref, where, encoding)
            if grid is not None and has_separate_calibration(encoding):
                store.keep(image_key(head), grid.kspace, grid.counts)


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
    centre = buffer_centre(ref.sampling)
    headers = ref.headers[(..., *own)] if ref.headers.shape[2:] == ref.data.shape[4:] else None
    if headers is not None and headers.shape == ref.data.shape[1:3] and _line_mask(headers).any():
        mask = _line_mask(headers)
        e1, e2 = np.argwhere(mask)[0].tolist()
        centre = centre_by_index((e1, e2), header_object(headers[e1, e2]), encoding)
    else:  # cropped after its headers were written
        mask = np.any(ref.data[(..., *own)] != 0, axis=(0, 3))
    if not mask.any():
        return None
    return _grid_of_buffer(ref, own, mask, encoding, centre)


def _grid_of_buffer(buffer: Any, where: _Position, mask: _LineMask, encoding: Any, centre: tuple[int, int]) -> _Grid:
    """Put the acquired samples of one image on the encoded grid, DC at n // 2."""
    samples = buffer.data[(..., *where)]  # (E0, E1, E2, CHA)
    n_x, first_x, measured = buffer_columns(samples.shape[0], buffer.sampling.sampling_limits[0])
    grid = new_grid(samples.shape[3], encoding, n_x)
    n_z, n_y, _ = grid.shape
    for e1, e2 in np.argwhere(mask).tolist():
        row = (e2 - centre[1] + n_z // 2, e1 - centre[0] + n_y // 2)
        try:
            grid.add(samples[:, e1, e2, :].T, *row, first_x, measured)
        except ValueError as error:
            raise ScanError(f"a line does not fit into the encoded matrix of the header: {error}") from error
    return _Grid(grid.mean(), grid.counts)


def _line_mask(headers: Any) -> _LineMask:
    """Which entries of a header array, structured or of objects, belong to acquired lines."""
    if headers.dtype.names:
        return np.asarray(headers["number_of_samples"] > 0)
    counts = [head.number_of_samples > 0 for head in headers.flat]
    return np.asarray(counts, dtype=bool).reshape(headers.shape)
