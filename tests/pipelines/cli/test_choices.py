"""The words of enumerations are those of the modules that compute."""

import pytest

from nilatron.core.prior.engines.settings import ENGINES
from nilatron.core.prior.unet import ARCHITECTURES
from nilatron.gadgets.images import PIXEL_TYPES
from nilatron.gadgets.nila.settings import SERIES
from nilatron.pipelines.cli import choices
from nilatron.pipelines.device import resolve_device


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (choices.Engine, ENGINES),
        (choices.Architecture, ARCHITECTURES),
        (choices.PixelType, PIXEL_TYPES),
        (choices.Series, SERIES),
    ],
)
def test_words(found, expected):
    assert {one.value for one in found} == set(expected)


def test_devices():
    for device in choices.Device:
        if device is not choices.Device.CUDA:
            assert resolve_device(device.value) in ("cpu", "cuda")


@pytest.mark.parametrize("words", [("replay", "-h"), ("serve", "-h")])
def test_help_shows_them(command, words, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    code, out, _ = command(*words)
    assert code == 0
    assert "auto|cpu|cuda" in out
    assert "torch|onnx|openvino|tensorrt" in out
    assert "Examples:" in out


@pytest.mark.parametrize(
    "words",
    [
        ("replay", "none.h5", "-o", "out.h5", "--device"),
        ("replay", "none.h5", "-o", "out.h5", "--engine"),
        ("replay", "none.h5", "-o", "out.h5", "--series"),
        ("demo", "new", "--engine"),
        ("serve", "--device"),
        ("prior", "evaluate", "images", "--device"),
        ("export", "-o", "out.onnx", "--precision"),
        ("train", "images", "-o", "out", "--architecture"),
        ("simulate", "scan.h5", "--calibration"),
    ],
)
def test_another_word_is_refused_with_those_that_there_are(command, folder, monkeypatch, words):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(folder)
    code, out, err = command(*words, "tpu")
    assert (code, out) == (2, "")
    assert f"Invalid value for '{words[-1]}'" in err
    assert "'tpu' is not one of '" in err
    assert list(folder.iterdir()) == []
