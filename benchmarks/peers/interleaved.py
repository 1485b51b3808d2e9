"""Methods one after the other, and ours again between them: a shared machine is faster now and slower then."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any

from peers.registry import BY_KEY, Method, baseline

TIMES = ("seconds", "per_second")


def interleaved(methods: Sequence[Method], run: Callable[[Method], dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What `run` finds of each; of the rows that others are divided by, the median over the whole time.

    These are measured anew after every method that is compared with them.
    """
    found: dict[str, dict[str, Any]] = {}
    measured: dict[str, list[dict[str, Any]]] = {}
    for method in methods:
        found[method.key] = run(method)
        ours = baseline(method)
        if ours == method.key:
            measured[ours] = [found[ours]]
        elif "missing" not in found.get(ours, {"missing": ours}):
            measured[ours].append(run(BY_KEY[ours]))
    for key, all_of_it in measured.items():
        whole = [one for one in all_of_it if "missing" not in one]
        for name in TIMES:
            taken = [one[name] for one in whole if one.get(name) is not None]
            if taken:
                found[key] = {**found[key], name: statistics.median(taken), f"{name}_each": taken}
    return found
