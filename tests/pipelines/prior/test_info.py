import json
from dataclasses import asdict

import pytest

from nilatron.core.prior.edm import EDMDenoiser
from nilatron.core.prior.edm_weights import save_prior
from nilatron.core.prior.unet import UNetConfig
from nilatron.core.prior.weights import DEFAULT_WEIGHTS, WeightsError, find_weights
from nilatron.pipelines.prior.info import describe_prior


def test_everything_that_a_file_says_is_shown(tmp_path):
    path = tmp_path / "prior.safetensors"
    rmse = {"0.05": 0.01}
    save_prior(path, EDMDenoiser(UNetConfig((8, 16), (1, 2), 16), 0.25), {"rmse": json.dumps(rmse), "note": "a, b"})
    found = describe_prior(path)
    assert found["architecture"] == json.loads(json.dumps(asdict(UNetConfig((8, 16), (1, 2), 16))))
    assert found["parameters"] * 2 < found["bytes"] == path.stat().st_size
    assert (found["resolution_levels"], found["sides_padded_to_multiple_of"]) == (2, 2)
    assert (found["sigma_data"], found["rmse"], found["note"]) == (0.25, rmse, "a, b")
    assert found["licence"] == found["data"] == "not stated"
    assert found["content_verified"] is True
    json.dumps(found)


def test_an_onnx_file_is_described_alike(tmp_path):
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    from nilatron.core.prior.engines.onnx.file import OnnxFacts, pack_onnx

    graph = """<ir_version: 9, opset_import: ["" : 18]>
    net (float[S, 2, H, W] x, float[S] s) => (float[S, 2, H, W] d) {d = Identity(x)}"""
    notes = {"licence": "CC0", "rmse": json.dumps({"0.05": 0.01}), "origin": "elsewhere"}
    facts = OnnxFacts(0.25, 4, "fp16", "ab" * 32, notes, "1.2.3")
    path = tmp_path / "prior.onnx"
    path.write_bytes(pack_onnx(onnx.parser.parse_model(graph), facts))
    found = describe_prior(path)
    assert (found["format"], found["precision"], found["content_verified"]) == ("nilatron-onnx-1", "fp16", True)
    assert (found["made_from_sha256"], found["nilatron_version"]) == ("ab" * 32, "1.2.3")
    assert (found["sigma_data"], found["sides_padded_to_multiple_of"], found["self_conditioned"]) == (0.25, 4, False)
    assert (found["licence"], found["data"], found["origin"]) == ("CC0", "not stated", "elsewhere")
    assert found["rmse"] == {"0.05": 0.01}
    assert found["bytes"] == path.stat().st_size
    json.dumps(found)
    path.write_bytes(onnx.parser.parse_model(graph).SerializeToString())
    with pytest.raises(WeightsError, match=r"prior.onnx is damaged, or no nilatron-onnx-1 file.*nilatron convert"):
        describe_prior(path)


def test_weights_are_found_by_name_or_path(tmp_path):
    assert find_weights("default") == DEFAULT_WEIGHTS
    assert find_weights(str(tmp_path / "x.safetensors")) == tmp_path / "x.safetensors"
    with pytest.raises(WeightsError, match="no weights file"):
        describe_prior(find_weights("defualt"))
