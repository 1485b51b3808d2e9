"""The shipped chains, the properties of every target, and the stock gadgets that the embedded host runs."""

from __future__ import annotations

import dataclasses
from typing import Any

from from_code.fields import code, default_of, fields_table, table


def chains() -> str:
    """Shipped chains with their first comment."""
    from nilatron.pipelines.chain.find import find_chain, list_chains

    def purpose(name: str) -> str:
        comment = find_chain(name).xml.decode().partition("<!--")[2].partition("-->")[0]
        return " ".join(comment.split("\n\n")[0].split())

    return table(("chain", "what it does"), ((code(name), purpose(name)) for name in list_chains()))


def properties() -> str:
    """Properties of every target, and of the gadgets that all targets share."""
    from nilatron.gadgets.methods import METHODS
    from nilatron.gadgets.node import OF_IMAGES, OF_LINES, OF_SLICES

    shared = list(dict.fromkeys((*OF_LINES, *OF_SLICES, *OF_IMAGES)))
    text = ["### Of every target\n", fields_table(*shared)]
    for name, method in METHODS.items():
        kind = method.settings_class
        text.append(f"### Of target `{name}`\n")
        text.append(fields_table(kind) if dataclasses.fields(kind) else "None but those of every target.\n")
        text.append(former_names(kind))
    return "\n".join(text)


def former_names(kind: type[Any]) -> str:
    """Sentence about the names that properties had before and that are still read."""
    earlier = [(f.metadata["formerly"], f.name) for f in dataclasses.fields(kind) if "formerly" in f.metadata]
    if not earlier:
        return ""
    return "Still read under former names: " + ", ".join(f"`{old}` (now `{new}`)" for old, new in earlier) + ".\n"


def stock_gadgets() -> str:
    """Stock gadgets that the embedded host runs, with their properties and defaults."""
    from nilatron.gadgets.stock.registry import STOCK_GADGETS

    rows = []
    for name, make in STOCK_GADGETS.items():
        kind = make.args[0]  # type: ignore[attr-defined]
        listed = (f for f in dataclasses.fields(kind) if f.init and not f.name.startswith("_"))
        names = ", ".join(f"`{f.name}={default_of(f)}`" for f in listed)
        rows.append((code(name), names or "none"))
    return table(("gadget", "properties with their defaults"), rows)
