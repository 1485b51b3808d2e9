"""Every target on a measurement and a prior that are not ours."""

import json

import numpy as np
import pytest
import safetensors.torch
import torch

from nilatron.core.backend import complex_normal
from nilatron.core.baselines.cg_sense import cg_sense
from nilatron.core.phantom import phantom
from nilatron.core.prior import loaders
from nilatron.core.prior.weights import HASH_KEY, WeightsError, content_sha256, shipped_weights
from nilatron.gadgets.methods import METHODS
from nilatron.gadgets.problem import Problem

SHAPE = (1, 40, 48)
FAST = {
    "nila": {"steps": 4, "samples": 2, "sample_steps": 4, "series": ("nila", "uncertainty")},
    "nila_published": {"steps": 50},
}


@pytest.fixture
def run(toy_measurement):
    """The outcome of a target on the toy measurement, and how far its image is from the truth."""
    operator, truth = toy_measurement(SHAPE), (40 * phantom(SHAPE)).astype(np.complex64)
    data = operator.forward(truth)
    data = data + operator.mask * complex_normal(np.random.default_rng(0), data.shape, data)

    def reconstruct(target, weights):
        problem = Problem(operator, data, cg_sense(operator, data), np.random.default_rng(1), "cpu", weights)
        method = METHODS[target]
        outcome = method.run(problem, method.settings_class(**FAST.get(target, {})))
        seen = operator.mask > 0
        error = np.linalg.norm((outcome.images["main"] - truth)[seen]) / np.linalg.norm(truth[seen])
        return outcome, error

    return reconstruct


@pytest.fixture
def toy_weights(tmp_path, monkeypatch, toy_prior):
    """A file of a format of its own, and its loader."""

    def load(file, device):
        assert device == "cpu"
        toy_prior.variance = float(file.load()["variance"])
        return toy_prior

    monkeypatch.setitem(loaders.LOADERS, "toy-gaussian-1", load)
    tensors, metadata = {"variance": torch.tensor([0.2])}, {"format": "toy-gaussian-1"}
    metadata[HASH_KEY] = content_sha256(tensors, metadata)
    path = tmp_path / "toy.safetensors"
    safetensors.torch.save_file(tensors, path, metadata=metadata)
    return path


def test_targets_are_those_of_the_shipped_chains():
    assert set(METHODS) == {"zero_filled", "cg_sense", "l1_wavelet", "nila", "nila_published"}
    assert all(method.history for method in METHODS.values())


@pytest.mark.slow
@pytest.mark.parametrize("target", METHODS)
def test_every_target_takes_any_measurement(target, run):
    outcome, error = run(target, shipped_weights("tiny"))
    assert error < 0.25
    assert set(outcome.images) <= {"main", "uncertainty"}


@pytest.mark.parametrize("target", ["nila", "nila_published"])
def test_targets_with_a_prior_take_any_prior(target, run, toy_weights, toy_prior):
    outcome, error = run(target, toy_weights)
    assert error < 0.25
    assert outcome.provenance["engine"] == "closed form"
    assert outcome.provenance["weights_sha256"] == toy_prior.sha256
    assert toy_prior.variance == pytest.approx(0.2)
    if target == "nila":
        assert np.isfinite(outcome.images["uncertainty"]).all()


def test_a_file_of_no_known_format_is_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    safetensors.torch.save_file({"a": torch.ones(1)}, path, metadata={"format": "other-1", "x": json.dumps([])})
    with pytest.raises(WeightsError, match=r"a format among 'nilatron-edm-2'.*found 'other-1'"):
        loaders.load_weights(path, "cpu")
