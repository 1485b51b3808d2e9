"""A picture of numbers over steps, for those who have no TensorBoard."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from PIL import Image, ImageDraw

from nilatron.pipelines.files.labels import font_of

Curve: TypeAlias = Sequence[tuple[float, float]]  # (step, value)

SIZE = (760, 300)  # pixels of a panel
LEFT, RIGHT, TOP, BOTTOM = 64, 150, 34, 30  # margins
COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b")
TEXT = 12


def draw_panels(panels: Mapping[str, Mapping[str, Curve]]) -> Image.Image:
    """Panels by title, one below the other, each with its curves by name; values on a logarithmic axis."""
    sheet = Image.new("RGB", (SIZE[0], SIZE[1] * len(panels)), "white")
    for number, (title, curves) in enumerate(panels.items()):
        sheet.paste(_panel(title, curves), (0, number * SIZE[1]))
    return sheet


def _panel(title: str, curves: Mapping[str, Curve]) -> Image.Image:
    panel = Image.new("RGB", SIZE, "white")
    draw, font = ImageDraw.Draw(panel), font_of(TEXT)
    draw.text((LEFT, TOP / 2), title, fill="black", font=font_of(TEXT + 2), anchor="lm")
    shown = {name: [(x, math.log10(y)) for x, y in curve if 0 < y < math.inf] for name, curve in curves.items()}
    points = [point for curve in shown.values() for point in curve]
    if not points:
        return panel
    first, last = min(x for x, _ in points), max(x for x, _ in points)
    low, high = min(y for _, y in points), max(y for _, y in points)
    low, high = low - 0.05 * (high - low) - 0.01, high + 0.05 * (high - low) + 0.01
    right, bottom = SIZE[0] - RIGHT, SIZE[1] - BOTTOM

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - first) / (last - first) if last > first else 0.5
        return LEFT + across * (right - LEFT), bottom - (y - low) / (high - low) * (bottom - TOP)

    for level in (low, (low + high) / 2, high):
        y = place(first, level)[1]
        draw.line([(LEFT, y), (right, y)], fill="#dddddd")
        draw.text((LEFT - 6, y), f"{10**level:.3g}", fill="black", font=font, anchor="rm")
    for step in sorted({first, last}):
        draw.text((place(step, low)[0], bottom + 6), f"{step:g}", fill="black", font=font, anchor="ma")
    draw.text(((LEFT + right) / 2, bottom + 6), "step", fill="black", font=font, anchor="ma")
    for number, (name, curve) in enumerate(shown.items()):
        colour = COLOURS[number % len(COLOURS)]
        places = [place(x, y) for x, y in curve]
        draw.line(places, fill=colour, width=2)
        for x, y in places if len(places) < 30 else places[-1:]:
            draw.ellipse([x - 2, y - 2, x + 2, y + 2], fill=colour)
        value = f": {curves[name][-1][1]:.3g}" if curve else ""
        draw.text((right + 10, TOP + number * (TEXT + 6)), name + value, fill=colour, font=font)
    return panel
