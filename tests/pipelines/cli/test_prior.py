"""`nilatron prior info`, `evaluate` and `denoise` as from a shell."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from nilatron.core.phantom import phantom
from nilatron.core.prior.edm import EDMDenoiser
from nilatron.core.prior.edm_weights import save_prior
from nilatron.core.prior.unet import ARCHITECTURES

GREY = np.uint8(200 * np.abs(phantom((1, 48, 40))[0]))


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "prior.safetensors"
    save_prior(path, EDMDenoiser(ARCHITECTURES["tiny"], 0.25), {"licence": "CC0", "data": "none"})
    return path


@pytest.fixture
def images(tmp_path):
    for source in ("first", "second"):
        folder = tmp_path / "images" / source / "deeper"
        folder.mkdir(parents=True)
        Image.fromarray(GREY).save(folder / "a.png")
    return tmp_path / "images"


def test_info_of_the_shipped_weights(command):
    code, out, _ = command("prior", "info")
    assert code == 0
    for line in (
        r"parameters: \d+",
        r"sha256: [0-9a-f]{64}",
        "licence: MIT",
        "architecture: channels",
        "data: .*slices",
    ):
        assert re.search(line, out), line


def test_info_for_programs(command, weights):
    code, out, _ = command("prior", "info", weights, "--json")
    assert code == 0
    described = json.loads(out)
    assert described["licence"] == "CC0"
    assert described["content_verified"] is True
    assert described["architecture"]["channels"] == [16, 32, 48, 64]
    assert described["bytes"] == weights.stat().st_size


@pytest.mark.slow
def test_evaluate_writes_table_and_pictures(command, weights, images, folder):
    words = ("prior", "evaluate", images, "-w", weights, "--sigma", "0.1", "--rule", "hard", "--device", "cpu")
    code, out, _ = command(*words, "-o", folder / "report")
    assert code == 0
    assert {path.name for path in (folder / "report").iterdir()} == {
        "table.md",
        "table.json",
        "first.png",
        "second.png",
    }
    assert out == (folder / "report" / "table.md").read_text()
    assert [line.split("|")[1].strip() for line in out.splitlines()[2:]] == ["first", "second", "all"]
    code, out, _ = command(*words, "--json")
    assert code == 0
    assert out == (folder / "report" / "table.json").read_text()
    assert len(json.loads(out)["rows"]) == 3


def test_denoise_leaves_a_picture_of_the_same_size(command, images, folder):
    code, out, _ = command("prior", "denoise", images / "first/deeper/a.png", folder / "out.png", "--sigma", "0.05")
    assert code == 0
    assert "sigma 0.05" in out
    with Image.open(folder / "out.png") as picture:
        assert picture.size == (40, 48)
        assert np.abs(np.asarray(picture, float) - GREY).mean() < 5
    assert [path.name for path in folder.iterdir()] == ["out.png"]


def test_denoise_replaces_nothing_unasked(command, images, folder, weights, one_line):
    (folder / "out.npy").write_bytes(b"older")
    words = ("prior", "denoise", images / "first/deeper/a.png", folder / "out.npy", "--sigma", "auto", "-w", weights)
    code, _, err = command(*words)
    assert code == 2
    assert "--overwrite" in one_line(err)
    assert (folder / "out.npy").read_bytes() == b"older"
    assert command(*words, "--overwrite")[0] == 0
    assert np.load(folder / "out.npy").shape == (48, 40)


BAD_WORDS = {
    "weights twice": (("info", "tiny", "-w", "default"), "given twice, tiny and --weights default"),
    "no output": (("denoise", "a.png", "--sigma", "1"), "give one file to write: -o OUT"),
    "two outputs": (("denoise", "a.png", "b.png", "-o", "c.png", "--sigma", "1"), "give one file to write: -o OUT"),
    "shipped name": (("info", "grande"), "no weights file at grande"),
    "folder as weights": (("info", "."), "no weights file at .*folder"),
    "images": (("evaluate", "absent"), "absent: no such file or folder"),
    "noise level": (("evaluate", "{images}", "--sigma", "-1"), "noise levels must be positive"),
    "rule": (("evaluate", "{images}", "--rule", "bm3d"), r"must be some of soft, hard, wiener, got \['bm3d'\]"),
    "report is a file": (("evaluate", "{images}", "-o", "{weights}"), "is not a folder"),
    "no picture": (("denoise", "{weights}", "out.npy", "--sigma", "1"), "ends in .npy or .png"),
    "absent picture": (("denoise", "absent.png", "out.npy", "--sigma", "1"), "absent.png: no such file"),
    "sigma is no number": (("denoise", "a.png", "out.npy", "--sigma", "some"), "positive number or auto, got 'some'"),
    "sigma zero": (("denoise", "{images}/first/deeper/a.png", "out.npy", "--sigma", "0"), "must be a positive number"),
    "output kind": (("denoise", "a.png", "out.tif", "--sigma", "1"), "ends in .npy or .png"),
    "output folder": (("denoise", "{images}/first/deeper/a.png", "no/out.npy", "--sigma", "1"), "does not exist"),
}


@pytest.mark.parametrize("fault", BAD_WORDS)
def test_bad_words(command, images, weights, folder, fault, one_line, monkeypatch):
    monkeypatch.chdir(folder)
    words, message = BAD_WORDS[fault]
    code, out, err = command("prior", *(word.format(images=images, weights=weights) for word in words))
    assert (code, out) == (2, "")
    assert re.search(message, one_line(err))
    assert list(folder.iterdir()) == []


def test_calibrate_refuses_weights_that_predict_no_errors(command, images, weights, folder, one_line):
    code, _, err = command("prior", "calibrate", images, "-w", weights, "-o", folder / "out.safetensors")
    assert code == 2
    assert "predict no errors" in one_line(err)
    assert not list(folder.iterdir())


@pytest.mark.parametrize("option", ["--coverage", "--confidence", "--bound"])
def test_calibrate_refuses_levels_that_are_none(command, images, weights, folder, one_line, option):
    code, _, err = command("prior", "calibrate", images, "-w", weights, "-o", folder / "out", option, "1.5")
    assert code == 2
    assert "must be between 0 and 1" in one_line(err)
