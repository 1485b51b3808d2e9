from dataclasses import replace

import pytest
import torch

from nilatron.core.prior.edm import EDMDenoiser
from nilatron.core.prior.edm_weights import load_prior, save_prior
from nilatron.core.prior.unet import UNetConfig
from nilatron.core.prior.weights import shipped_weights
from nilatron.pipelines.training.settings import TrainingError, TrainSettings
from nilatron.pipelines.training.start import start_network

IMAGES = [torch.full((8, 8), 0.5)]
TINY = TrainSettings(architecture="tiny")


def test_the_seed_decides_the_weights_and_leaves_the_global_generator_alone():
    state = torch.random.get_rng_state()
    first, again, other = (start_network(replace(TINY, seed=seed), IMAGES)[0].state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_random_weights_take_sigma_data_from_the_images():
    network, source = start_network(TINY, IMAGES)
    assert (network.sigma_data, source) == (pytest.approx(0.5 / 2**0.5, rel=1e-3), "")


@pytest.mark.slow
def test_shipped_weights_are_known_by_name_and_learn_on():
    shipped = load_prior(shipped_weights("default"))
    self_conditioned = shipped.denoiser.network.config.self_conditioned
    network, source = start_network(TrainSettings(start="default", self_conditioned=self_conditioned), IMAGES)
    assert (network.sigma_data, source) == (shipped.denoiser.sigma_data, shipped.sha256)
    expected = shipped.denoiser.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in network.state_dict().items())
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_a_self_conditioned_network_begins_as_the_one_whose_weights_it_takes(tmp_path):
    plain, _ = start_network(replace(TINY, self_conditioned=False), IMAGES)
    torch.nn.init.normal_(plain.network.last[-1].weight, std=0.1)
    save_prior(tmp_path / "plain", plain, {}, torch.float32)
    network, _ = start_network(replace(TINY, start=str(tmp_path / "plain")), IMAGES)
    assert (network.n_inputs, network.sigma_data) == (4, plain.sigma_data)
    x, before = torch.randn(2, 1, 2, 32, 48, generator=torch.Generator().manual_seed(0))
    s = torch.full((1,), 0.1)
    torch.testing.assert_close(network(torch.cat((x, before), dim=1), s), plain(x, s))
    network(torch.cat((x, before), dim=1), s).square().sum().backward()
    assert torch.any(network.network.first.weight.grad[:, 2:] != 0)


def test_a_self_conditioned_network_from_random_weights_does_not_use_what_it_is_not_taught():
    network, _ = start_network(TINY, IMAGES)
    assert network.network.config.self_conditioned
    assert not torch.any(network.network.first.weight[:, 2:])


@pytest.mark.slow
def test_self_conditioned_weights_stay_so(tmp_path):
    network, _ = start_network(TINY, IMAGES)
    save_prior(tmp_path / "own", network, {}, torch.float32)
    again, _ = start_network(replace(TINY, start=str(tmp_path / "own")), IMAGES)
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in again.state_dict().items())
    with pytest.raises(TrainingError, match="leave self_conditioned at true"):
        start_network(replace(TINY, start=str(tmp_path / "own"), self_conditioned=False), IMAGES)


def test_weights_of_another_architecture_are_refused(tmp_path):
    with pytest.raises(TrainingError, match="not hold a network of architecture 'tiny': give --architecture default"):
        start_network(replace(TINY, start="default"), IMAGES)
    save_prior(tmp_path / "own", EDMDenoiser(UNetConfig((8,), (1,), 8), 0.5), {})
    with pytest.raises(TrainingError, match="it is none of ours"):
        start_network(replace(TINY, start=str(tmp_path / "own")), IMAGES)
