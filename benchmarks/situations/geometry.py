"""K7: where lines say that they lie."""

from __future__ import annotations

from situations.scan import ACCELERATED, SLICES, Scan, situation

DIRECTIONS = ("read_dir", "phase_dir", "slice_dir")


@situation("K7", SLICES, right="told")
def slices_counted_as_partitions(scan: Scan) -> None:
    """Two slices at places of their own, which kspace_encode_step_2 counts."""
    for line in scan.imaging:
        line.idx.kspace_encode_step_2, line.idx.slice = line.idx.slice, 0
    limits = scan.encoding.encodingLimits
    limits.kspace_encoding_step_2.maximum, limits.slice.maximum = 1, 0


@situation("K7", SLICES, right="told")
def slices_that_nothing_counts(scan: Scan) -> None:
    """Two slices at places of their own, with the same counters."""
    for line in scan.imaging:
        line.idx.slice = 0
    scan.encoding.encodingLimits.slice.maximum = 0


@situation("K7", ACCELERATED)
def a_place_in_the_first_line_alone(scan: Scan) -> None:
    """Position and directions are 0 in all lines but the first."""
    for line in scan.imaging[1:]:
        for name in ("position", *DIRECTIONS):
            getattr(line, name)[:] = (0, 0, 0)


@situation("K7", ACCELERATED)
def a_position_that_follows_the_patient(scan: Scan) -> None:
    """Prospective motion correction: every line has a position of its own, within a millimetre."""
    for number, line in enumerate(scan.imaging):
        line.position[:] = (0.01 * number, 0, 0)
