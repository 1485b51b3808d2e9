"""Buckets of lines onto k-space grids."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import ismrmrd
import numpy as np

from nilatron.gadgets.encoding import encoding_of
from nilatron.gadgets.flags import forwards
from nilatron.gadgets.items import Context, ScanError
from nilatron.gadgets.stock import grid
from nilatron.gadgets.stock.types import (
    AcquisitionBucket,
    AcquisitionBucketStats,
    Buffer,
    ReconBit,
    ReconData,
    check_dimension,
    default_headers,
    header_record,
)

DIMENSIONS = ("", "none", "average", "slice", "contrast", "phase", "repetition", "set", "segment")

_KEY = ("average", "slice", "contrast", "phase", "repetition", "set", "segment")
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class BucketToBufferGadget:
    """Sort the lines of a bucket into arrays (E0, E1, E2, CHA, N, S, LOC), one per set of images.

    N and S are the dimensions of the two properties, LOC the slice (its own array if `split_slices`). Each other
    combination of average, slice, contrast, phase, repetition, set and segment (unless `ignore_segment`) gives a
    `ReconData`. A line lies at  e1 = kspace_encode_step_1 + matrix.y // 2 - limits.center  (e2 likewise for volumes);
    calibration lines of another scan ("separate", "external") lie in an array of just their own extent, those of
    mode "interleaved" at their own index.

    As in the stock gadget, a second line of the same indices replaces the first (N or S "average" keeps averages
    apart); here it is counted and said. Where the stock gadget loses data or fails, this one does not: N, S and LOC
    count from the smallest index of the bucket; a segment dimension has the size of the segments; the grid is the
    encoded matrix wherever lines would fall off the smaller one; uncentred or shortened echoes lie with their echo at
    the centre of the grid; lines read backwards are turned around; missing encoding limits are those of the full
    matrix; calibration lines in a header without parallel imaging count as embedded; a bucket never holds empty
    encoding spaces in front of a used one.
    """

    N_dimension: str = ""
    S_dimension: str = ""
    split_slices: bool = False
    ignore_segment: bool = False
    verbose: bool = False

    def __post_init__(self) -> None:
        check_dimension("N_dimension", self.N_dimension, DIMENSIONS)
        check_dimension("S_dimension", self.S_dimension, DIMENSIONS)

    def __call__(self, items: Iterable[Any], context: Context) -> Iterator[Any]:
        """Buckets in, `ReconData` out; anything else passes.

        Raises
        ------
        ScanError
            A trajectory that is not on a grid, a line outside the encoding limits or with other channels.
        """
        for item in items:
            if isinstance(item, AcquisitionBucket):
                yield from self.buffers(item, context)
            else:
                yield item

    def buffers(self, bucket: AcquisitionBucket, context: Context) -> Iterator[ReconData]:
        """All sets of images of one bucket, in rising order of their indices."""
        refs = self._collect(bucket.ref, bucket.refstats, context, is_ref=True)
        data = self._collect(bucket.data, bucket.datastats, context, is_ref=False)
        for key in sorted({key for key, _ in (*refs, *data)}):
            spaces = sorted({space for other, space in (*refs, *data) if other == key})
            bits = []
            for space in spaces:
                ref, imaging = refs.get((key, space)), data.get((key, space))
                if imaging is None:
                    _logger.warning("BucketToBufferGadget: calibration lines without imaging lines (indices %s)", key)
                    imaging = grid.empty_buffer(ref)
                bits.append(ReconBit(imaging, ref))
            if self.verbose:
                _logger.info("BucketToBufferGadget: data of shape %s", [bit.data.data.shape for bit in bits])
            yield ReconData(bits)

    def _collect(
        self,
        lines: list[ismrmrd.Acquisition],
        stats: list[AcquisitionBucketStats],
        context: Context,
        *,
        is_ref: bool,
    ) -> dict[tuple[tuple[int, ...], int], Buffer]:
        buffers: dict[tuple[tuple[int, ...], int], Buffer] = {}
        layouts: dict[int, grid.Layout] = {}
        for line in lines:
            space = line.encoding_space_ref
            if space not in layouts:
                layouts[space] = grid.layout(encoding_of(context.header, space), stats[space], is_ref=is_ref)
            layout = layouts[space]
            key = (self._key(line.idx), space)
            if key not in buffers:
                buffers[key] = self._new_buffer(line, layout, stats[space], context)
            self._place(buffers[key], line, layout, stats[space], context)
        return buffers

    def _key(self, idx: Any) -> tuple[int, ...]:
        cleared = {self.N_dimension, self.S_dimension} - {"slice"}
        if not self.split_slices:
            cleared.add("slice")
        if self.ignore_segment:
            cleared.add("segment")
        return tuple(0 if name in cleared else int(getattr(idx, name)) for name in _KEY)

    def _new_buffer(
        self, line: ismrmrd.Acquisition, layout: grid.Layout, stats: AcquisitionBucketStats, context: Context
    ) -> Buffer:
        n_loc = 1 if self.split_slices else stats.extent("slice")
        outer = (_extent(self.N_dimension, stats), _extent(self.S_dimension, stats), n_loc)
        n_readout = grid.readout_length(line, layout.encoding)
        shape = (n_readout, layout.n_e1, layout.n_e2, line.active_channels, *outer)
        return Buffer(
            data=np.zeros(shape, dtype=np.complex64, order="F"),
            headers=default_headers((layout.n_e1, layout.n_e2, *outer)),
            sampling=grid.sampling_description(layout, grid.centred_readout(line, n_readout, context.log)),
        )

    def _place(
        self,
        buffer: Buffer,
        line: ismrmrd.Acquisition,
        layout: grid.Layout,
        stats: AcquisitionBucketStats,
        context: Context,
    ) -> None:
        where = layout.position(line, context.log)
        if where is None:
            return
        if line.active_channels != buffer.data.shape[3]:
            raise ScanError(
                f"BucketToBufferGadget: line {line.scan_counter} has {line.active_channels} channels, the first line "
                f"of its image {buffer.data.shape[3]}; expected the same number in all lines"
            )
        loc = 0 if self.split_slices else line.idx.slice - stats.first("slice")
        outer = (_used(self.N_dimension, line.idx, stats), _used(self.S_dimension, line.idx, stats), loc)
        if buffer.headers[(*where, *outer)]["number_of_samples"]:
            context.log.counts["lines replaced by a later one of the same indices"] += 1
            if context.log.counts["lines replaced by a later one of the same indices"] == 1:
                _logger.warning(
                    "BucketToBufferGadget: line %d replaces an earlier one of the same indices; "
                    'N_dimension or S_dimension "average" keeps averages',
                    line.scan_counter,
                )
        placed = grid.centred_readout(line, buffer.data.shape[0], context.log)
        measured = slice(placed.pre, placed.n_samples - placed.post)
        buffer.data[(measured, *where, slice(None), *outer)] = placed.samples[:, measured].T
        head = line.getHead()
        head.flags = forwards(head.flags)
        buffer.headers[(*where, *outer)] = header_record(head)


def _extent(dimension: str, stats: AcquisitionBucketStats) -> int:
    return 1 if dimension in ("", "none", "slice") else stats.extent(dimension)


def _used(dimension: str, idx: Any, stats: AcquisitionBucketStats) -> int:
    return 0 if dimension in ("", "none", "slice") else int(getattr(idx, dimension)) - stats.first(dimension)
