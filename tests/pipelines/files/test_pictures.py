import subprocess

import numpy as np
import pytest
from PIL import Image

from nilatron.pipelines.files.pictures import UNREADABLE, read_npy, read_png
from nilatron.pipelines.files.sizes import MOST_PIXELS


@pytest.mark.parametrize("mode", ["L", "I;16", "RGB", "P", "LA"])
def test_pictures_become_grey(tmp_path, mode):
    grey = Image.fromarray(np.arange(80, dtype=np.uint8).reshape(8, 10))
    picture = Image.fromarray(np.arange(80, dtype=np.uint16).reshape(8, 10)) if mode == "I;16" else grey.convert(mode)
    picture.save(tmp_path / "a.png")
    for wanted in (None, "F"):
        np.testing.assert_allclose(read_png(tmp_path / "a.png", wanted), np.arange(80).reshape(8, 10), atol=1)


@pytest.mark.parametrize("kind", ["TIFF", "GIF", "JPEG", "EPS"])
def test_other_formats_are_not_opened_and_nothing_is_started(tmp_path, kind, monkeypatch):
    Image.new("L", (8, 8), 9).save(tmp_path / "a.png", format=kind)
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a program was started"))
    with pytest.raises(UNREADABLE, match="cannot identify"):
        read_png(tmp_path / "a.png")


def test_pixels_are_counted_before_they_are_read(tmp_path, monkeypatch):
    Image.new("1", (MOST_PIXELS // 4096, 4097)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image.Image, "load", lambda _: pytest.fail("pixels were read"))
    with pytest.raises(ValueError, match=f"8192 x 4097 pixels are more than {MOST_PIXELS}"):
        read_png(tmp_path / "a.png")


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_arrays_are_those_that_were_written(tmp_path, order, version):
    array = np.asarray(np.arange(24.0).reshape(2, 3, 4), ">f4", order=order)
    with (tmp_path / "a.npy").open("wb") as file:
        np.lib.format.write_array(file, array, version)
    read = read_npy(tmp_path / "a.npy")
    assert isinstance(read, np.memmap)
    assert read.dtype == array.dtype
    np.testing.assert_array_equal(read, array)


@pytest.mark.parametrize("array", [np.zeros((0, 4)), np.array([[None]]), np.zeros((2, 2), "V0")])
def test_arrays_of_nothing_and_of_objects(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    if array.dtype == np.float64:
        assert read_npy(tmp_path / "a.npy").shape == (0, 4)
    else:
        with pytest.raises(UNREADABLE, match="are claimed"):
            read_npy(tmp_path / "a.npy")


def test_an_array_has_the_bytes_that_it_claims(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((8, 8)))
    content = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(content[:-1])
    with pytest.raises(UNREADABLE, match=r"\(8, 8\) values of type float64 are claimed, 511 bytes are there"):
        read_npy(tmp_path / "a.npy")
