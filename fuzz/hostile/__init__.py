"""Files that mean harm, made by code: each says which kind of file it claims to be.

`HOSTILE` has a maker for each; it writes the file into a folder and returns its path. None takes more than 2 MB on the disk.
"""

from __future__ import annotations

from hostile import (  # noqa: F401 - their makers enter themselves
    arrays,
    chains,
    dicom,
    jobs,
    networks,
    pictures,
    raw_headers,
    raw_lengths,
    raw_links,
    raw_sizes,
    raw_types,
    settings,
    training,
    weights,
)
from hostile.entering import ELSEWHERE, HOSTILE

__all__ = ["ELSEWHERE", "HOSTILE", "SLOW"]

SLOW = (
    "a_picture_of_three_gigabytes",
    "a_picture_just_below_pillows_limit",
    "a_packed_volume_of_three_gigabytes",
    "three_lines_in_a_chunk_of_a_gigabyte",
)  # to make
