"""PSNR against seconds, a panel a case."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nilatron.pipelines.files.atomic import atomic_path
from peers.registry import BY_KEY, OURS
from peers.tables import Results

COLUMNS, PANEL_INCHES = 3, (5.4, 4.2)
KINDS = {"ours, fast": "#c0392b", "diffusion": "#2471a3", "classical": "#7f8c8d"}
LOWEST_DB = 9.0  # of the panel, below the best: what is worse stands at the border
PLACES = ((6, 4), (6, -10), (-6, 4), (-6, -10), (6, 15), (6, -21), (-6, 15), (-6, -21), (6, 26), (6, -32))


def kind_of(key: str) -> str:
    """Colour group of a method."""
    if key == OURS:
        return "ours, fast"
    return "diffusion" if BY_KEY[key].n_evaluations else "classical"


def draw(cases: Mapping[str, Results], titles: Mapping[str, str], path: Path) -> None:
    """Write the figure as PNG.

    Raises
    ------
    ImportError
        Without matplotlib.
    """
    import matplotlib as mpl  # type: ignore[import-not-found,import-untyped,unused-ignore]

    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.lines import Line2D

    n_rows = -(-len(cases) // COLUMNS)
    n_columns = min(COLUMNS, len(cases))
    size = (PANEL_INCHES[0] * n_columns, PANEL_INCHES[1] * n_rows)
    figure, axes = plt.subplots(n_rows, n_columns, figsize=size, squeeze=False, layout="constrained")
    for axis in axes.flat[len(cases) :]:
        axis.set_axis_off()
    for axis, (name, results) in zip(axes.flat, cases.items(), strict=False):
        panel(axis, results)
        axis.set_title(titles[name], fontsize=10)
        axis.set_xlabel("seconds")
        axis.set_ylabel("PSNR / dB")
    handles = [Line2D([], [], color=colour, marker="o", ls="", label=kind) for kind, colour in KINDS.items()]
    figure.legend(handles=handles, fontsize=8, loc="outside lower center", ncols=len(handles))
    figure.canvas.draw()
    for axis, results in zip(axes.flat, cases.values(), strict=False):
        label(axis, results)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png")
    plt.close(figure)


def points(results: Results) -> dict[str, tuple[float, float]]:
    """Seconds and PSNR of the methods that made an image; very bad ones are raised to the panel's border."""
    found = {
        key: (float(values["seconds"]), float(values["psnr_db"]))
        for key, values in results.items()
        if values.get("psnr_db") is not None
    }
    best = max((quality for _, quality in found.values()), default=0.0)
    return {key: (seconds, max(quality, best - LOWEST_DB)) for key, (seconds, quality) in found.items()}


def panel(axis: Any, results: Results) -> None:
    """The points of one case."""
    axis.set_xscale("log")
    for key, (seconds, quality) in points(results).items():
        star = key == OURS
        axis.plot(seconds, quality, "*" if star else "o", ms=13 if star else 6, color=KINDS[kind_of(key)])
    axis.margins(x=0.22, y=0.1)
    axis.grid(alpha=0.3, which="both", lw=0.4)


def label(axis: Any, results: Results) -> None:
    """Names beside the points, each at the first place where it covers neither a point nor another name."""
    from matplotlib.transforms import Bbox

    found = points(results)
    pixels = {key: axis.transData.transform(point) for key, point in found.items()}
    taken = [Bbox.from_bounds(x - 4, y - 4, 8, 8) for x, y in pixels.values()]
    for key in sorted(found, key=lambda key: found[key]):
        raised = float(results[key]["psnr_db"]) < found[key][1]
        name = plain(key) + (f" ({results[key]['psnr_db']:.0f} dB)" if raised else "")
        for place in PLACES:
            side = "left" if place[0] > 0 else "right"
            text = axis.annotate(
                name, found[key], place, textcoords="offset points", ha=side, fontsize=7, color=KINDS[kind_of(key)]
            )
            box = text.get_window_extent()
            inside = axis.bbox.x0 <= box.x0 and box.x1 <= axis.bbox.x1
            if inside and not any(box.overlaps(other) for other in taken):
                break
            if place != PLACES[-1]:
                text.remove()
        taken.append(box)


def plain(key: str) -> str:
    """Label of a method, short."""
    text = BY_KEY[key].label
    for word in ("*", " l1-wavelet", ", reimplemented", "deepinv ", "Nila as "):
        text = text.replace(word, "")
    return text
