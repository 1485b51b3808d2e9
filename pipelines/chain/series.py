"""How many images a chain makes of each slice."""

from __future__ import annotations

from collections.abc import Iterator

from nilatron.gadgets.methods import METHODS
from nilatron.pipelines.chain.host import NODE_MODULE
from nilatron.pipelines.chain.xml import Chain, External


def series_per_slice(chain: Chain) -> int:
    """Number of images that a chain makes of each slice: the number of series of our node; 1 for other chains."""
    return max((len(series) for series in _own_series(chain)), default=1)


def _own_series(chain: Chain) -> Iterator[tuple[str, ...]]:
    for node in chain.stream:
        if isinstance(node, External) and node.module == NODE_MODULE and node.target in METHODS:
            default = getattr(METHODS[node.target].settings_class(), "series", ("nila",))
            given = tuple(part for part in node.properties.get("series", "").split(",") if part.strip())
            yield given or default
