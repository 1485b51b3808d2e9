"""The stages make the image that the gadgets' method makes, and say so when they do not."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from gpu import chain as module
from gpu.chain import Chain, FellBackError, node_settings
from gpu.place import NUMPY, TORCH_CPU
from gpu.scan import raw_slice
from nilatron.core.metrics import nrmse, psnr
from nilatron.gadgets.problem import Outcome


@pytest.fixture(scope="module")
def chain(small):
    return Chain(raw_slice(small), NUMPY, small.weights, replace(node_settings(), precision="fp32"))


@pytest.mark.slow
def test_the_image_is_that_of_the_object_in_every_place(chain):
    image = chain.run()["main"]
    conventional = chain.problem().conventional
    assert psnr(image, chain.raw.truth) > psnr(conventional, chain.raw.truth) + 1
    assert nrmse(replace(chain, place=TORCH_CPU).run()["main"], image, rescale=False) < 1e-4


def test_whitening_and_compression_leave_unit_noise(chain):
    noise = replace(chain.raw, kspace=chain.raw.noise[:, None, None], calibration=chain.raw.noise[:, None, None])
    item = module.OnDevice(noise.kspace, noise.calibration, np.ones((1, 1, 4096), np.float32))
    white = module.whiten(chain.whitening, item.kspace)
    assert np.mean(np.abs(white) ** 2) == pytest.approx(1, rel=1e-3)


def test_posterior_samples_are_asked_for(small):
    assert node_settings(3).series == ("nila", "uncertainty")
    assert (node_settings(3).samples, "uncertainty" in node_settings().series) == (3, False)
    images = Chain(raw_slice(small), NUMPY, small.weights, replace(node_settings(2), sample_steps=2)).run()
    assert set(images) == {"main", "uncertainty"}


def test_what_was_left_out_is_an_error(chain, monkeypatch):
    outcome = Outcome({"main": np.zeros(3)}, {"shortened": "no posterior samples: out of memory"})
    monkeypatch.setattr(module, "run_nila", lambda *_: outcome)
    with pytest.raises(FellBackError, match="out of memory"):
        chain.sample(None)


def test_an_image_that_was_made_on_the_host_is_an_error_on_a_gpu(chain, monkeypatch):
    said = "torch bf16, CUDA graph (no CUDA graph for (1, 4, 272, 272))"
    monkeypatch.setattr(module, "run_nila", lambda *_: Outcome({"main": np.zeros(3)}, {"engine": said}))
    engine = SimpleNamespace(remark=lambda: "")
    monkeypatch.setattr(module, "engine", lambda *_: engine)
    on_gpu = replace(chain, place=replace(NUMPY, device="cuda"))
    with pytest.raises(FellBackError, match="on the host"):
        on_gpu.sample(None)
    engine.remark = lambda: "no CUDA graph for (1, 4, 272, 272)"
    with pytest.raises(FellBackError, match="no CUDA graph"):
        on_gpu.sample(None)
