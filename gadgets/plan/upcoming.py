"""The lines that are still to come, where the heads of all of them are known: a file knows them before its first sample."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from nilatron.gadgets.encoding import SEPARATE_MODES, calibration_mode
from nilatron.gadgets.flags import LineKind, calibrates, kind_of
from nilatron.gadgets.placement import ImageKey


@dataclass
class Upcoming:
    """How many lines are still to come.

    Attributes
    ----------
    imaging
        For each image.
    calibration
        That only calibrate, for each slice, whatever their encoding space.
    channels
        Of most lines of each image.
    """

    imaging: Counter[ImageKey] = field(default_factory=Counter)
    calibration: Counter[int] = field(default_factory=Counter)
    channels: dict[ImageKey, int] = field(default_factory=dict)


def upcoming_of(header: Any, heads: npt.NDArray[Any]) -> Upcoming:
    """Lines of a table of ISMRMRD heads (structured, with `flags`, `encoding_space_ref` and `idx`).

    Lines of encoding spaces that the header does not describe are left to whoever meets them.
    """
    found = Upcoming()
    if not len(heads):
        return found
    idx = heads["idx"]
    columns = [heads["encoding_space_ref"], *(idx[name] for name in ImageKey._fields[1:])]
    table = np.stack([column.astype(np.int64) for column in columns], axis=1)
    by_channels: dict[ImageKey, Counter[int]] = {}
    table = np.column_stack([table, heads["active_channels"], heads["flags"].astype(np.uint64).view(np.int64)])
    rows, counts = np.unique(table, axis=0, return_counts=True)
    for row, count in zip(rows.tolist(), counts.tolist(), strict=True):
        key, n_channels, flags = ImageKey(*row[:-2]), row[-2], row[-1] & (2**64 - 1)
        kind = kind_of(flags)
        if kind in (LineKind.OTHER, LineKind.NOISE) or key.encoding >= len(header.encoding):
            continue
        is_separate = calibration_mode(header.encoding[key.encoding]) in SEPARATE_MODES
        if is_separate and calibrates(flags):
            found.calibration[key.slice] += count
        if not (is_separate and kind is LineKind.CALIBRATION):
            found.imaging[key] += count
            by_channels.setdefault(key, Counter())[n_channels] += count
    found.channels = {key: numbers.most_common(1)[0][0] for key, numbers in by_channels.items()}
    return found
