import base64
import io

import numpy as np
from PIL import Image

from nilatron.pipelines.report import pictures


def pixels_of(uri):
    head, content = uri.split(",")
    assert head == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(content))) as picture:
        return np.asarray(picture).astype(int)


def ramp(n=64):
    return np.tile(np.linspace(0, 2, n, dtype=np.float32), (8, 1))


def test_grey_from_black_to_white():
    found = pixels_of(pictures.grey(ramp(), 1.0))
    np.testing.assert_array_equal(found, np.clip(np.rint(255 * ramp()), 0, 255))


def test_a_difference_is_grey_where_there_is_none_and_amplified_elsewhere():
    one = ramp()
    found = pixels_of(pictures.difference(one + np.float32(0.02) * (one > 1), one, 1.0))
    assert set(found[one <= 1]) == {128}
    assert set(found[one > 1]) == {round(255 * (0.5 + 5 * 0.02 / 2))}


def test_colours_become_brighter_with_the_value():
    found = pixels_of(pictures.coloured(ramp(), 2.0))[0]
    brightness = found @ (0.299, 0.587, 0.114)
    assert (np.diff(brightness) > 0).all()
    bar = pixels_of(pictures.colour_bar())[0]
    np.testing.assert_array_equal((bar[0], bar[-1]), (found[0], found[-1]))


def test_large_pictures_are_made_smaller_and_keep_their_shape():
    assert pixels_of(pictures.grey(np.zeros((300, 1200), np.float32), 1.0)).shape == (128, 512)
    assert max(pixels_of(pictures.thumbnail(np.zeros((300, 200), np.float32), 1.0, 96)).shape) == 96
