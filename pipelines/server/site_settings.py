"""The site's settings in a chain: its engine as a default, its time budgets as limits of what a peer may ask for."""

from __future__ import annotations

from dataclasses import fields, replace

from nilatron.gadgets.methods import METHODS
from nilatron.pipelines.chain.find import Chain, External
from nilatron.pipelines.server.settings import ServeSettings

BUDGETS = ("scan_budget_s", "slice_budget_s")


def with_site_settings(chain: Chain, settings: ServeSettings) -> tuple[Chain, list[str]]:
    """The chain with the site's budgets and engine where its targets know them, and what was lowered, in sentences.

    A budget of 0 is without limit, and becomes that of the site; a larger one than the site's is lowered to it.
    """
    stream, told = list(chain.stream), []
    for place, node in enumerate(stream):
        if isinstance(node, External) and node.target in METHODS:
            known = {setting.name for setting in fields(METHODS[node.target].settings_class)}
            properties = dict(node.properties)
            if settings.engine is not None and "engine" in known:
                properties.setdefault("engine", settings.engine)
            for name in known.intersection(BUDGETS):
                most = getattr(settings, name)
                own = _seconds(properties.get(name, "0"))
                if most is None or own is None or 0 < own <= most:
                    continue
                properties[name] = f"{most:g}"
                if own:
                    told.append(f"{name} {own:g} is lowered to {most:g}, the most that this site allows")
            stream[place] = replace(node, properties=properties)
    return replace(chain, stream=tuple(stream)), told


def _seconds(text: str) -> float | None:
    """The number in a text; None where it is none, which is refused when the chain is built."""
    try:
        return float(text)
    except ValueError:
        return None
