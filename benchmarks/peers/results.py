"""What was found so far, as Markdown, JSON and a figure."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nilatron.pipelines.files.atomic import atomic_path
from peers import tables
from peers.registry import METHODS, OURS
from report import Cell, write_json


@dataclass
class Report:
    """Results by case and method, written into `folder` whenever a case is added."""

    folder: Path
    machine: dict[str, Any]
    weights: Path
    titles: dict[str, str] = field(default_factory=dict)
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    floors: list[dict[str, Cell]] = field(default_factory=list)

    @property
    def introduction(self) -> str:
        """The machine and the network, in a sentence."""
        machine = self.machine
        return (
            f"All methods have {machine['n_cores']} cores (load at the start {machine['load_at_start']:.1f}), which do "
            f"{machine['convolution_flops'] / 1e9:.0f} GFLOP/s ({machine['convolution']}) and copy "
            f"{machine['copy_bytes'] / 1e9:.1f} GB/s. Network: {self.weights.stem}."
        )

    def add(self, name: str, title: str, maps_shape: tuple[int, ...], found: dict[str, Any]) -> None:
        """One more case."""
        self.titles[name], self.results[name] = title, found
        row = floor_row(self.machine, title, maps_shape, found.get(OURS, {}), self.weights)
        self.floors.extend([row] if row else [])
        self.write()

    def write(self) -> None:
        """compare.md, compare.json and, where matplotlib is installed, compare.png."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with atomic_path(self.folder / "compare.md") as temporary:
            temporary.write_text(self.markdown())
        content = {"machine": self.machine, "weights": self.weights.name, "floors": self.floors, "cases": self.results}
        labels = {method.key: method.label for method in METHODS}
        write_json(self.folder / "compare.json", {**content, "labels": labels})
        try:
            from peers.figure import draw

            draw(self.results, self.titles, self.folder / "compare.png")
        except ImportError as error:
            print(f"no compare.png: {error} (pip install matplotlib)", file=sys.stderr)

    def markdown(self) -> str:
        """All tables."""
        parts = [f"# Comparison\n\n{self.introduction}\n", tables.section("Floors", self.floors)]
        streams: dict[str, Any] = {}
        for name, title in self.titles.items():
            found = self.results[name]
            streams.update(found)
            parts.append(tables.section(title, tables.image_rows(found)))
            parts.append(tables.section(f"{title}: coil maps", tables.map_rows(found), tables.slice_sentence(found)))
        parts.append(tables.section("Streams", tables.stream_rows(streams)))
        return "\n".join(part for part in parts if part)


def floor_row(
    machine: dict[str, Any], title: str, maps_shape: tuple[int, ...], found: dict[str, Any], weights: Path
) -> dict[str, Cell] | None:
    """What Nila fast could not do without, and what it took; nothing where it did not run."""
    if not found or "missing" in found:
        return None
    from floors import Machine, floor_of, network_flops, product_bytes

    known = Machine(*(machine[name] for name in ("n_cores", "convolution_flops", "convolution", "copy_bytes")))
    n_coils, _, n_y, n_x = maps_shape
    flops, n_bytes = network_flops(weights, (n_y, n_x)), product_bytes(n_coils, maps_shape[1:])
    share = found["full_share"]
    floor = floor_of(known, share * found["n_evaluations"], flops, share * found["n_products"], n_bytes)
    return {
        "Nila fast": title,
        "evaluations": f"{share * found['n_evaluations']:.1f} x {flops / 1e9:.2f} GFLOP",
        "network, at least / s": f"{floor.network_s:.3f}",
        "A^H A": f"{share * found['n_products']:.0f} x {n_bytes / 1e6:.0f} MB",
        "Fourier, at least / s": f"{floor.fourier_s:.3f}",
        "achieved / s": f"{found['seconds']:.3f}",
        "achieved / floor": found["seconds"] / floor.total_s,
    }
