"""Words on pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

Grey: TypeAlias = npt.NDArray[np.uint8]  # (y, x)
Font: TypeAlias = "ImageFont.FreeTypeFont | ImageFont.ImageFont"

TEXT_HEIGHT = 14  # pixels
STRIP_HEIGHT = 20
LEAST_HEIGHT = 7  # of text that has to be narrow


def with_labels(pixels: Grey, columns: Sequence[str], rows: Sequence[str] = ()) -> Grey:
    """The picture below a strip that names its columns, which are equally wide; rows are named in their upper left corner."""
    height, width = pixels.shape
    sheet = Image.new("L", (width, STRIP_HEIGHT + height), 255)
    sheet.paste(Image.fromarray(pixels), (0, STRIP_HEIGHT))
    draw = ImageDraw.Draw(sheet)
    each = width / len(columns)
    for number, words in enumerate(columns):
        middle = ((number + 0.5) * each, STRIP_HEIGHT / 2)
        draw.text(middle, words, fill=0, font=fitting_font(draw, words, each - 2), anchor="mm")
    for number, words in enumerate(rows):
        place = (3, STRIP_HEIGHT + number * height / len(rows) + 3)
        font = fitting_font(draw, words, each - 6)
        draw.text(place, words, fill=255, font=font, stroke_width=1, stroke_fill=0)
    return np.asarray(sheet)


def fitting_font(draw: ImageDraw.ImageDraw, words: str, width: float) -> Font:
    """Font in which the words are at most `width` pixels wide, if one that can be read is."""
    height = TEXT_HEIGHT
    while height > LEAST_HEIGHT and draw.textlength(words, font=font_of(height)) > width:
        height -= 1
    return font_of(height)


def font_of(height: int) -> Font:
    """The font that comes with Pillow."""
    return ImageFont.load_default(height)
