"""K1: lines of both directions, whose navigators come as sequences make them; and paths that the lines bring."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

import ismrmrd
import ismrmrd.xsd as xsd
import numpy as np

from nilatron.core.fft import fft, ifft
from situations.samples import describe, key_of
from situations.scan import PLAIN, Scan, clear_ends, copied, replaced, situation, with_data

Lines: TypeAlias = list[ismrmrd.Acquisition]
SLICED = replace(PLAIN, n_slices=2)


def backwards(line: ismrmrd.Acquisition, samples: float) -> None:
    """Read a line backwards, with 0.3 rad and a shift against those read forwards."""
    x = np.arange(line.number_of_samples)
    line.data[:] = fft(ifft(line.data, axes=(-1,)) * np.exp(0.3j + 2j * np.pi * samples * x / x.size), axes=(-1,))
    line.data[:] = line.data[:, ::-1].copy()
    line.center_sample = line.number_of_samples - 1 - line.center_sample
    line.set_flag(ismrmrd.ACQ_IS_REVERSE)


def echo_planar(scan: Scan, navigators: Callable[[Lines], Lines] = list, *, are_last: bool = False) -> None:
    """Read every other line backwards, with three navigators for each slice, whose shifts differ."""
    made = []
    for index in range(1 + max(line.idx.slice for line in scan.imaging)):
        lines = [line for line in scan.imaging if line.idx.slice == index]
        middle = next(line for line in lines if key_of(line) == PLAIN.matrix[1] // 2)
        own = [copied(middle) for _ in range(3)]
        clear_ends(own)
        for navigator in own:
            navigator.set_flag(ismrmrd.ACQ_IS_PHASECORR_DATA)
        for line in (*lines[1::2], own[1]):
            backwards(line, 0.4 - 0.75 * index)
        parts = [navigators(own), lines]
        made += [line for part in (parts[::-1] if are_last else parts) for line in part]
    scan.lines = [*(line for line in scan.lines if line not in scan.imaging), *made]
    scan.encoding.trajectory = xsd.trajectoryType.EPI
    describe(scan)


@situation("K1", SLICED)
def slices_of_unlike_shifts_with_navigators_last(scan: Scan) -> None:
    """The navigators of each slice come after its lines."""
    echo_planar(scan, are_last=True)


@situation("K1", PLAIN)
def a_navigator_of_the_body_coil_first(scan: Scan) -> None:
    """The first navigator has two channels."""
    echo_planar(scan, lambda own: [with_data(own[0], own[0].data[:2]), *own])


@situation("K1", PLAIN)
def a_navigator_of_half_the_samples_first(scan: Scan) -> None:
    """The first navigator is shorter than the others."""
    echo_planar(scan, lambda own: [with_data(own[0], own[0].data[:, 48:-48], 48), *own])


@situation("K1", PLAIN, right="told")
def lines_turned_around_that_kept_their_flag(scan: Scan) -> None:
    """A converter has turned the lines around, and left them flagged."""
    for line in scan.imaging[1::2]:
        line.set_flag(ismrmrd.ACQ_IS_REVERSE)


@situation("K1", PLAIN, right="refused")
def blades_under_a_cartesian_header(scan: Scan) -> None:
    """The lines bring their path: forty along the grid, then a blade that is turned."""
    n = scan.imaging[0].number_of_samples

    def on_a_blade(line: ismrmrd.Acquisition) -> ismrmrd.Acquisition:
        blade, row = divmod(key_of(line), 40)
        along, across = (np.arange(n) - n // 2) / n, (row - 20) / n
        turn = np.array([[np.cos(blade), -np.sin(blade)], [np.sin(blade), np.cos(blade)]])
        path = (turn @ np.stack([along, np.full(n, across)])).T.astype(np.float32)
        head = line.getHead()
        head.trajectory_dimensions = 2
        return ismrmrd.Acquisition(head, line.data, path)

    replaced(scan, on_a_blade)


@situation("K1", PLAIN, right="refused")
def a_description_of_spirals(scan: Scan) -> None:
    """The trajectory is called cartesian and described as a spiral."""
    scan.encoding.trajectoryDescription = xsd.trajectoryDescriptionType(identifier="HargreavesVDS2000")
