import numpy as np
import torch

from nilatron.core.prior.edm import EDMDenoiser
from nilatron.core.prior.edm_weights import save_prior
from nilatron.core.prior.engines.choose import EngineSettings
from nilatron.core.prior.unet import UNetConfig
from nilatron.core.prior.weights import DEFAULT_WEIGHTS, shipped_weights
from nilatron.gadgets.nila.prior import prior_for


def test_the_prior_is_loaded_once():
    assert prior_for(DEFAULT_WEIGHTS, "cpu") is prior_for(DEFAULT_WEIGHTS, "cpu")
    assert prior_for(DEFAULT_WEIGHTS, "cpu") is prior_for(DEFAULT_WEIGHTS, "cpu", EngineSettings())


def test_arrays_come_back_as_they_went_in():
    estimate = prior_for(DEFAULT_WEIGHTS, "cpu").prior.estimate
    x = np.random.default_rng(0).normal(size=(1, 1, 32, 24)).astype(np.complex64)
    out = estimate(x, 0.1).mean
    assert isinstance(out, np.ndarray)
    assert (out.shape, out.dtype) == (x.shape, x.dtype)
    assert np.array_equal(out, estimate(torch.from_numpy(x), 0.1).mean.numpy())


def test_a_self_conditioned_prior_is_given_the_estimate_made_before(tmp_path):
    torch.manual_seed(0)
    denoiser = EDMDenoiser(UNetConfig((8,), (1,), 8, self_conditioned=True), 0.25)
    for parameter in denoiser.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    save_prior(tmp_path / "prior.safetensors", denoiser, {}, torch.float32)
    estimate = prior_for(tmp_path / "prior.safetensors", "cpu", EngineSettings("torch", "fp32")).prior.estimate
    x, before = np.random.default_rng(0).normal(size=(2, 1, 1, 32, 24)).astype(np.complex64)
    expected = denoiser.denoise(torch.from_numpy(x), 0.1, torch.from_numpy(before)).numpy()
    np.testing.assert_allclose(estimate(x, 0.1, before).mean, expected, atol=1e-6)
    assert np.abs(estimate(x, 0.1).mean - expected).max() > 1e-3


def test_the_engine_is_that_of_the_settings():
    prior = prior_for(shipped_weights("tiny"), "cpu", EngineSettings("tensorrt", "fp32")).prior
    assert prior.label == "torch fp32 (tensorrt absent: no GPU)"
    assert len(prior.sha256) == 64
