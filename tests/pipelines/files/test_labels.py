import numpy as np
from PIL import Image, ImageDraw

from nilatron.pipelines.files.labels import STRIP_HEIGHT, TEXT_HEIGHT, fitting_font, font_of, with_labels


def test_the_picture_stays_below_the_names_of_its_columns():
    pixels = np.tile(np.arange(200, dtype=np.uint8), (50, 1))
    found = with_labels(pixels, ["left", "right"])
    np.testing.assert_array_equal(found[STRIP_HEIGHT:], pixels)
    for half in np.split(found[:STRIP_HEIGHT], 2, axis=1):
        assert half[:, 0].min() == 255
        assert half.min() < 100


def test_rows_are_named_where_they_begin():
    found = with_labels(np.full((120, 200), 128, np.uint8), ["a", "b"], ["first", "second"])[STRIP_HEIGHT:]
    for half in np.split(found, 2):
        changed = np.argwhere(half != 128)
        assert len(changed)
        assert changed[:, 0].max() < 25
        assert changed[:, 1].max() < 100


def test_long_words_get_a_smaller_font():
    draw = ImageDraw.Draw(Image.new("L", (10, 10)))
    words = "conjugate gradient"
    wide = draw.textlength(words, font=font_of(TEXT_HEIGHT))
    assert draw.textlength(words, font=fitting_font(draw, words, wide + 1)) == wide
    assert draw.textlength(words, font=fitting_font(draw, words, 0.7 * wide)) <= 0.7 * wide
