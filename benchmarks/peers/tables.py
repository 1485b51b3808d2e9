"""The results as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from peers.registry import BY_KEY, OUR_MAPS, OURS, baseline
from report import Cell, markdown

Results: TypeAlias = Mapping[str, Mapping[str, Any]]  # of one case, by method: fields of Measurement, or "missing"


def seconds_of(results: Results, key: str) -> float | None:
    """Seconds of a method, if it ran."""
    seconds = results.get(key, {}).get("seconds")
    return None if seconds is None else float(seconds)


def ratio(results: Results, key: str, other: str) -> float | None:
    """How many times as long `key` takes as `other`."""
    mine, theirs = seconds_of(results, other), seconds_of(results, key)
    return None if not mine or theirs is None else theirs / mine


def image_rows(results: Results) -> list[dict[str, Cell]]:
    """A row for each method that makes an image."""
    rows: list[dict[str, Cell]] = []
    for key, found in _of_table(results, "image"):
        evaluations, quality = found.get("n_evaluations"), found.get("psnr_db")
        ours = results.get(OURS, {}).get("psnr_db")
        gain = None if quality is None or ours is None or key == OURS else ours - quality
        rows.append(
            {
                "method": BY_KEY[key].label,
                "seconds": _short(found.get("seconds")),
                "times ours": _times(ratio(results, key, baseline(BY_KEY[key]))),
                "PSNR / dB": quality,
                "ours better by / dB": None if gain is None else f"{gain:+.2f}",
                "evaluations": evaluations or None,
                "peak MB": _megabytes(found),
                "": _note(found),
            }
        )
    return rows


def map_rows(results: Results) -> list[dict[str, Cell]]:
    """A row for each method that estimates coil maps."""
    return [
        {
            "coil maps": BY_KEY[key].label,
            "seconds": _short(found.get("seconds")),
            "times ours": _times(ratio(results, key, OUR_MAPS)),
            "NRMSE to ours / %": None if found.get("map_error") is None else 100 * float(found["map_error"]),
            "peak MB": _megabytes(found),
            "": _note(found),
        }
        for key, found in _of_table(results, "maps")
    ]


def stream_rows(results: Results) -> list[dict[str, Cell]]:
    """A row for each reader and writer."""
    return [
        {
            "streams": BY_KEY[key].label,
            "1/s": None if found.get("per_second") is None else f"{found['per_second']:.0f}",
            "times ours": _times(ratio(results, key, baseline(BY_KEY[key]))),
            "peak MB": _megabytes(found),
            "": _note(found),
        }
        for key, found in _of_table(results, "stream")
    ]


def slice_sentence(results: Results) -> str | None:
    """Maps and image together against BART's, which is what a slice costs."""
    seconds = [seconds_of(results, key) for key in (OUR_MAPS, OURS, "ecalib", "bart")]
    if None in seconds:
        return None
    maps, image, ecalib, pics = (float(value or 0) for value in seconds)
    return (
        f"A slice, maps and image: ours {maps + image:.2f} s, BART 0.8 {ecalib + pics:.2f} s, "
        f"ratio {(maps + image) / (ecalib + pics):.2f}."
    )


def section(title: str, rows: Sequence[Mapping[str, Cell]], *sentences: str | None) -> str:
    """A heading, a table, and sentences below; nothing without rows."""
    if not rows:
        return ""
    return "\n\n".join([f"## {title}", markdown(rows), *(sentence for sentence in sentences if sentence)]) + "\n"


def _of_table(results: Results, table: str) -> list[tuple[str, Mapping[str, Any]]]:
    return [(key, found) for key, found in results.items() if BY_KEY[key].table == table]


def _note(found: Mapping[str, Any]) -> str:
    return str(found.get("missing") or found.get("note") or "").replace("|", "/")


def _megabytes(found: Mapping[str, Any]) -> str | None:
    return None if found.get("peak_bytes") is None else f"{found['peak_bytes'] / 1e6:.0f}"


def _times(value: float | None) -> str | None:
    return None if value is None else f"{value:.3g}"


def _short(seconds: Any) -> str | None:
    return None if seconds is None else f"{seconds:.3g}"
