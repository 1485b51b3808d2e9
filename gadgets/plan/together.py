"""Lines that become one image by their counters, though header or heads say that they belong to several."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from nilatron.gadgets.plan.contradictions import Heads, imaging

IMAGES = ("slice", "contrast", "phase", "repetition", "set")  # counters that tell images apart
PLACE = ("kspace_encode_step_1", "kspace_encode_step_2", "average", "segment")  # and the lines of one image


def mixed(header: Any, heads: Heads) -> Iterator[str]:
    """Sentences on counters that the header announces and no line counts, where every line came as often as that.

    Parameters
    ----------
    header
        Parsed ISMRMRD header.
    heads
        Table of the heads of all lines.
    """
    for number, encoding in enumerate(header.encoding):
        lines = imaging(heads, number)
        if not len(lines) or encoding.encodingLimits is None:
            continue
        table = np.stack([lines["idx"][name] for name in (*IMAGES, *PLACE)], axis=1)
        times = np.unique(np.unique(table, axis=0, return_counts=True)[1])
        for name in IMAGES if len(times) == 1 else ():
            limit, seen = getattr(encoding.encodingLimits, name, None), np.unique(lines["idx"][name])
            n_announced = 1 if limit is None else int(limit.maximum) - int(limit.minimum) + 1
            if 1 < n_announced == int(times[0]) and len(seen) == 1:
                yield (
                    f"encoding {number}: every line came {n_announced} times with the same counters; the header announces "
                    f"{n_announced} values of {name}, and all lines have {name} {int(seen[0])}: their images are mixed in one"
                )
