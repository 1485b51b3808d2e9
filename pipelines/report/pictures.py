"""Pixels as pictures within a page: PNG as data URIs."""

from __future__ import annotations

import base64
import io
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels: TypeAlias = npt.NDArray[np.float32]  # (y, x)

MOST_PIXELS = 512  # along a side
DIFFERENCE_GAIN = 5
# from dark to bright, equally spaced in lightness: seen by the colour-blind, and right in grey
COLOURS = np.array(
    [
        (68, 1, 84),
        (70, 50, 126),
        (54, 92, 141),
        (39, 127, 142),
        (31, 161, 135),
        (74, 193, 109),
        (160, 218, 57),
        (253, 231, 37),
    ],
    np.float32,
)


def grey(pixels: Pixels, white: float) -> str:
    """Picture from 0, black, to `white`."""
    return uri(_bytes(pixels / white))


def difference(one: Pixels, other: Pixels, white: float) -> str:
    """Picture of `one` - `other`, amplified; grey where they are the same."""
    return uri(_bytes(0.5 + DIFFERENCE_GAIN * (one - other) / (2 * white)))


def coloured(pixels: Pixels, white: float) -> str:
    """Picture in colours from 0 to `white`."""
    return uri(_colours(pixels / white))


def colour_bar() -> str:
    """The colours from right, the highest, to left."""
    return uri(_colours(np.linspace(0, 1, 128, dtype=np.float32)[None]))


def thumbnail(pixels: Pixels, white: float, side: int) -> str:
    """Small grey picture."""
    return uri(_bytes(pixels / white), side)


def uri(pixels: npt.NDArray[np.uint8], most: int = MOST_PIXELS) -> str:
    """Data URI of a PNG, at most so large along a side."""
    picture = Image.fromarray(pixels)
    if max(picture.size) > most:
        picture.thumbnail((most, most), Image.Resampling.LANCZOS)
    content = io.BytesIO()
    picture.save(content, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()


def _bytes(shares: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    return np.asarray(np.rint(255 * shares.clip(0, 1)), np.uint8)


def _colours(shares: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    places, values = np.linspace(0, 1, len(COLOURS)), shares.clip(0, 1)
    return np.stack([np.interp(values, places, channel) for channel in COLOURS.T], axis=-1).round().astype(np.uint8)
