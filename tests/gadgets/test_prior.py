import shutil

import numpy as np
import pytest
import torch

from nilatron.core.prior.engines.choose import EngineSettings
from nilatron.core.prior.weights import DEFAULT_WEIGHTS, shipped_weights
from nilatron.gadgets.prior import prior_for


def test_the_prior_is_loaded_once():
    assert prior_for(DEFAULT_WEIGHTS, "cpu") is prior_for(DEFAULT_WEIGHTS, "cpu")
    assert prior_for(DEFAULT_WEIGHTS, "cpu") is prior_for(DEFAULT_WEIGHTS, "cpu", EngineSettings())


def test_arrays_come_back_as_they_went_in():
    denoise = prior_for(DEFAULT_WEIGHTS, "cpu").denoise
    x = np.random.default_rng(0).normal(size=(1, 1, 32, 24)).astype(np.complex64)
    out = denoise(x, 0.1)
    assert isinstance(out, np.ndarray)
    assert (out.shape, out.dtype) == (x.shape, x.dtype)
    assert np.array_equal(out, denoise(torch.from_numpy(x), 0.1).numpy())


def test_exported_models_go_to_the_cache_of_the_user(monkeypatch, tmp_path):
    for package in ("onnxscript", "onnxruntime"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    weights = shutil.copy(shipped_weights("tiny"), tmp_path / "copy.safetensors")  # which no other test has loaded
    prior = prior_for(weights, "cpu", EngineSettings("onnx"))
    assert prior.engine.label == "onnx fp32"
    (entry,) = (tmp_path / "nilatron").iterdir()
    assert entry.name.startswith("onnx-")


def test_the_engine_is_that_of_the_settings():
    prior = prior_for(shipped_weights("tiny"), "cpu", EngineSettings("tensorrt", "fp32"))
    assert prior.engine.label == "torch fp32 (tensorrt absent: no GPU)"
    assert len(prior.sha256) == 64
