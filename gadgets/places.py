"""Where the lines of an image say that it lies.

They ought to agree. Where they differ by less than an object is moved by, as in prospective motion correction, the line
nearest to the centre of k-space stands for all, as long as most lines do not say another place. Lines that lie further apart
are of several slices, whose counters are wrong, and their image is none.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import ismrmrd
import numpy as np
import numpy.typing as npt

from nilatron.gadgets.items import KSpaceSlice, ScanLog

log = logging.getLogger(__name__)

Place: TypeAlias = tuple[float, ...]  # position, read, phase and slice direction

FIELDS = ("position", "read_dir", "phase_dir", "slice_dir")
APART = (0.5, 0.125)  # of the thickness across, of the field of view in the plane: so far apart lie several slices
TURNED_DEG = 15.0  # the same for directions
ROUNDING_MM, ROUNDING_DEG = 0.01, 0.01
STRAY = 0.1  # of the lines: so few of another place are taken for errors of their heads


@dataclass
class Places:
    """How many lines of an image name which place; lines that name none, without directions, do not count."""

    lines: Counter[Place] = field(default_factory=Counter)

    def add(self, line: ismrmrd.Acquisition) -> None:
        """Count a line."""
        place = tuple(value for name in FIELDS for value in getattr(line, name))
        if any(place[3:]) and all(map(math.isfinite, place)):
            self.lines[place] += 1

    def settled(self, item: KSpaceSlice, scan_log: ScanLog) -> KSpaceSlice:
        """The slice at the place that most of its lines name, else at that of its head; told where lines differ."""
        if not self.lines:
            return item
        (usual, n_usual), total = self.lines.most_common(1)[0], self.lines.total()
        own = tuple(value for name in FIELDS for value in getattr(item.head, name))
        if own not in self.lines or 2 * n_usual > total:
            for number, name in enumerate(FIELDS):
                getattr(item.head, name)[:] = usual[3 * number : 3 * number + 3]
        else:
            usual = own
        if len(self.lines) == 1:
            return item
        return self._told(item, np.array(usual).reshape(4, 3), scan_log)

    def _told(self, item: KSpaceSlice, usual: npt.NDArray[np.float64], scan_log: ScanLog) -> KSpaceSlice:
        places = np.array(list(self.lines)).reshape(-1, 4, 3)
        counts = np.array(list(self.lines.values()))
        away = np.abs((places[:, 0] - usual[0]) @ usual[1:].T)  # along read, phase, slice direction
        turned_deg = _angles_deg(places[:, 1:], usual[1:]).max(axis=1)
        is_other = (away > _far_mm(item.encoding)).any(axis=1) | (turned_deg > TURNED_DEG)
        n_other, total = int(counts[is_other].sum()), int(counts.sum())
        if not n_other and away.max() < ROUNDING_MM and turned_deg.max() < ROUNDING_DEG:
            return item
        text = f"lines differ in place by up to {away.max():.3g} mm and {turned_deg.max():.2g} degrees"
        if n_other > STRAY * total:
            text = f"{n_other} of {total} {text}: they are of several slices, or positions are wrong"
            scan_log.problem(log, f"{item.label}: {text}")
        elif n_other:
            text = f"{n_other} of {total} {text}: the place of the others is taken"
            log.warning("%s: %s", item.label, text)
        return item.with_note(text)


def _far_mm(encoding: Any) -> npt.NDArray[np.float64]:
    """Distances along read, phase and slice direction from which on lines are of several slices."""
    fov, (across, in_plane) = encoding.encodedSpace.fieldOfView_mm, APART
    return np.array([in_plane * float(fov.x), in_plane * float(fov.y), across * float(fov.z)])


def _angles_deg(directions: npt.NDArray[np.float64], usual: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Angles between directions (n, 3, xyz) and those of the usual place (3, xyz); 0 where one is not set."""
    lengths = np.linalg.norm(directions, axis=2) * np.linalg.norm(usual, axis=1)
    cosines = np.where(lengths > 0, np.sum(directions * usual, axis=2) / np.maximum(lengths, 1e-30), 1.0)
    found: npt.NDArray[np.float64] = np.degrees(np.arccos(np.clip(cosines, -1.0, 1.0)))
    return found
