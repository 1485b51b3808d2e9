import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from nilatron.core.phantom import phantom
from nilatron.core.prior.edm_weights import load_prior
from nilatron.core.prior.weights import shipped_weights
from nilatron.pipelines.prior.convert import ConvertSettings, check_images, convert
from nilatron.pipelines.prior.convert_settings import ConversionError, ForeignUnitSettings
from nilatron.pipelines.prior.convert_source import SourceSettings

OURS = load_prior(shipped_weights("tiny")).denoiser
WIENER = """<ir_version: 8, opset_import: ["" : 18]>
net (float[n, 2, r, c] x, float[n] sigma) => (float[n, 2, r, c] y) {
    power = Constant <value = float {0.1}> ()
    axes = Constant <value = int64[3] {1, 2, 3}> ()
    noise = Mul(sigma, sigma)
    total = Add(noise, power)
    gain = Div(power, total)
    gains = Unsqueeze(gain, axes)
    y = Mul(x, gains)
}"""  # the best estimate for white images of variance 0.1


@pytest.fixture
def settings(own, head, tmp_path):
    (tmp_path / "out").mkdir()
    return ConvertSettings(
        SourceSettings(own, architecture="tiny", prefixes=(("net.", ""),)),
        ForeignUnitSettings("edm", sigma_data=OURS.sigma_data, multiple=8),
        tmp_path / "out" / "new.safetensors",
        licence="CC0",
        data="heads",
        images=(head,),
    )


@pytest.mark.slow
def test_our_own_network_comes_back_as_it_was(settings):
    shown = []
    verdict = convert(settings, shown.append)
    prior = load_prior(settings.output)
    x, s = torch.randn(1, 2, 32, 48), torch.tensor([0.1])
    assert torch.allclose(prior.denoiser(x, s), OURS(x, s), atol=1e-6)
    assert prior.denoiser.sigma_data == OURS.sigma_data
    assert prior.metadata["licence"] == "CC0"
    assert prior.metadata["data"] == "heads"
    assert json.loads(prior.metadata["rmse"])["0.1"] == pytest.approx(verdict.levels[2].denoised, abs=1e-5)
    assert json.loads(prior.metadata["converted_from"])["convention"] == "edm"
    assert shown == [verdict.markdown()]
    assert [path.name for path in settings.output.parent.iterdir()] == ["new.safetensors"]


@pytest.mark.slow
def test_a_wrong_reading_is_named_and_nothing_is_written(settings):
    wrong = replace(settings, unit_settings=replace(settings.unit_settings, noise="complex"))
    shown = []
    with pytest.raises(ConversionError, match="is not written: with --noise component its error would be"):
        convert(wrong, shown.append)
    assert len(shown) == 1
    assert list(settings.output.parent.iterdir()) == []


@pytest.mark.slow
def test_a_graph_becomes_a_file_for_our_engines(settings, tmp_path):
    onnx = pytest.importorskip("onnx")
    for package in ("onnxscript", "onnxruntime"):
        pytest.importorskip(package)
    from nilatron.core.prior.engines.choose import read_weights
    from nilatron.core.prior.engines.onnx.engine import OnnxDenoiser

    path = tmp_path / "wiener.onnx"
    path.write_bytes(onnx.parser.parse_model(WIENER).SerializeToString())
    units = ForeignUnitSettings("edm", predicts="denoised", noise="complex", scale=math.sqrt(0.5), multiple=4)
    convert(
        replace(settings, source=SourceSettings(path), unit_settings=units, output=tmp_path / "out" / "wiener.onnx")
    )
    model = read_weights(tmp_path / "out" / "wiener.onnx", "cpu")
    assert model.facts.notes["licence"] == "CC0"
    assert 0.1 < model.facts.sigma_data < 0.6
    x, s = torch.randn(2, 2, 16, 20), torch.tensor([0.1, 0.3])
    expected = (
        x * (0.1 / (s**2 + 0.1))[:, None, None, None]
    )  # scale sqrt(1/2) and complex noise: its number is s itself
    assert torch.allclose(OnnxDenoiser(model, "cpu")(x, s), expected, atol=1e-6)


def test_images_of_the_check(settings, tmp_path):
    grey = np.uint8(200 * np.abs(phantom((1, 40, 32))[0]))
    paths = [tmp_path / f"{i}.png" for i in range(5)]
    for i, path in enumerate(paths):
        Image.fromarray(grey + np.uint8(i)).save(path)
    found = check_images(replace(settings, images=tuple(paths), limit=2))
    assert [tuple(image.shape) for image in found] == [(40, 32)] * 2
    heads = check_images(replace(settings, images=()))
    assert len(heads) == 3
    assert all(head.is_complex() for head in heads)


def test_networks_of_another_shape_are_refused_before_the_check(settings):
    narrow = replace(settings.unit_settings, channels=1)
    with pytest.raises(ConversionError, match=r"cannot be called with an image \(4, 1, 32, 40\).*--channels"):
        convert(replace(settings, unit_settings=narrow))


def test_our_format_holds_raw_edm_networks_of_ours_only(settings):
    with pytest.raises(ConversionError, match="write ONNX instead"):
        convert(replace(settings, unit_settings=ForeignUnitSettings("ve")))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"licence": " "}, "state the licence"),
        ({"limit": 0}, "at least one image"),
    ],
)
def test_settings_that_cannot_be(settings, change, message):
    with pytest.raises(ConversionError, match=message):
        replace(settings, **change)


def test_outputs_that_cannot_be(settings):
    with pytest.raises(ConversionError, match=r"ends in \.safetensors or \.onnx"):
        replace(settings, output=settings.output.with_suffix(".pt"))
    with pytest.raises(ConversionError, match="does not exist"):
        replace(settings, output=settings.output.parent / "absent" / "new.onnx")
    settings.output.write_bytes(b"older")
    with pytest.raises(ConversionError, match="--overwrite"):
        replace(settings)
    assert replace(settings, overwrite=True).output.read_bytes() == b"older"
