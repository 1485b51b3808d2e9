import json
import pickle

import pytest
import torch
from safetensors.torch import save_file

from nilatron.core.prior.edm import EDMDenoiser
from nilatron.core.prior.unet import UNetConfig
from nilatron.core.prior.weights import DEFAULT_WEIGHTS, WeightsError, load_prior, save_prior


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    denoiser = EDMDenoiser(UNetConfig((8, 16), (1, 1), 16), 0.25)
    with torch.no_grad():
        for parameter in denoiser.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    path = tmp_path / "prior.safetensors"
    save_prior(path, denoiser, {"licence": "CC0"})
    return path, denoiser.eval()


def test_a_round_trip_keeps_the_denoiser_to_half_precision(saved):
    path, denoiser = saved
    prior = load_prior(path)
    x = torch.randn(1, 32, 32, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    difference = prior.denoiser.denoise(x, 0.2) - denoiser.denoise(x, 0.2)
    assert float(difference.abs().max()) < 0.01
    assert prior.metadata["licence"] == "CC0"
    assert len(prior.sha256) == 64


def test_what_is_not_a_weights_file_is_refused(tmp_path):
    with pytest.raises(WeightsError, match="no weights file"):
        load_prior(tmp_path / "absent.safetensors")
    for content in (b"", b"not safetensors at all", pickle.dumps({"a": 1})):
        path = tmp_path / "bad.safetensors"
        path.write_bytes(content)
        with pytest.raises(WeightsError, match="not a readable safetensors"):
            load_prior(path)


def test_a_damaged_file_is_refused(saved):
    path, _ = saved
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(WeightsError):
        load_prior(path)


def test_foreign_tensors_are_refused(tmp_path):
    path = tmp_path / "foreign.safetensors"
    save_file({"a": torch.zeros(3)}, path, metadata={"format": "pt"})
    with pytest.raises(WeightsError, match="expected weights of format"):
        load_prior(path)


@pytest.mark.parametrize(
    "change",
    [
        {"architecture": json.dumps({"channels": [8, 8], "blocks": [1, 1], "embedding": 16})},
        {"sigma_data": "-1"},
        {"architecture": "{}"},
    ],
)
def test_an_architecture_that_does_not_fit_is_refused(saved, change):
    path, denoiser = saved
    own = {
        "format": "nilatron-edm-1",
        "architecture": json.dumps({"channels": [8, 16], "blocks": [1, 1], "embedding": 16}),
        "sigma_data": "0.25",
    }
    save_file(denoiser.state_dict(), path, metadata=own)
    load_prior(path)
    save_file(denoiser.state_dict(), path, metadata=own | change)
    with pytest.raises(WeightsError, match="do not fit"):
        load_prior(path)


def test_values_that_are_not_finite_are_refused(saved):
    path, denoiser = saved
    with torch.no_grad():
        next(denoiser.parameters())[0] = float("nan")
    save_prior(path, denoiser, {})
    with pytest.raises(WeightsError, match="not finite"):
        load_prior(path)


def test_the_shipped_prior_is_small_and_says_where_it_comes_from():
    assert DEFAULT_WEIGHTS.stat().st_size < 16_000_000
    prior = load_prior()
    for key in ("architecture", "sigma_data", "scale_convention", "data", "licence", "rmse", "trained_steps"):
        assert prior.metadata.get(key), key
    assert DEFAULT_WEIGHTS.with_name("default.md").is_file()


def test_the_shipped_prior_turns_with_the_global_phase_and_denoises():
    prior = load_prior()
    y, x = torch.meshgrid(torch.linspace(-1, 1, 96), torch.linspace(-1, 1, 96), indexing="ij")
    clean = ((y**2 + x**2 < 0.6) * (0.5 + 0.3 * torch.cos(6 * x) * torch.cos(5 * y))).to(torch.complex64)
    noise = 0.1 * torch.randn(96, 96, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    plain = prior.denoiser.denoise(clean + noise, 0.1)
    assert float((plain - clean).abs().square().mean().sqrt()) < 0.05
    for angle in (0.7, 2.0, 4.0):
        turn = torch.polar(torch.tensor(1.0), torch.tensor(angle))
        turned = prior.denoiser.denoise(turn * (clean + noise), 0.1)
        assert float((turned / turn - plain).abs().square().mean().sqrt()) < 0.02 * float(plain.abs().max())
