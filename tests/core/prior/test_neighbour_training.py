from dataclasses import replace

import numpy as np
import pytest
import torch

from nilatron.core.prior.acquired import AcquisitionSettings
from nilatron.core.prior.edm import EDMDenoiser
from nilatron.core.prior.lesions import LesionSettings
from nilatron.core.prior.neighbour_head import NeighbourHead
from nilatron.core.prior.neighbour_training import NeighbourTraining, planes_of, states_of_scan, train_neighbours
from nilatron.core.prior.training_scans import ScanSettings, draw_scan
from nilatron.core.prior.unet import UNetConfig
from nilatron.core.prior.volumes import NeighbourSettings, Place, Stack, Volumes
from nilatron.core.sampling.image import ImageSettings

SCANS = ScanSettings(n_coils=(3, 3), calibration_lines=(12,), acquisition=AcquisitionSettings(sides=(72, 80)))
TRUE = NeighbourSettings(
    drop_probability=0.0, max_step=1, blur=0.0, noise=0.0, ghost_probability=0.0, gain=0.0, other_probability=0.0,
    lesions=LesionSettings(probability=0.0),
)  # fmt: skip


@pytest.fixture
def denoiser():
    """A network that is zero: D(x) = c x."""
    return EDMDenoiser(UNetConfig((8,), (1,), 8), sigma_data=0.3).eval().requires_grad_(False)


@pytest.fixture
def volumes():
    """A volume whose slices are all the same, so that a neighbour is the truth."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, 96), torch.linspace(-1, 1, 96), indexing="ij")
    image = (y**2 + x**2 < 0.7) * (0.6 + 0.3 * torch.sin(9 * x) * torch.cos(7 * y))
    return Volumes([image] * 3, [Place(0, n, 1.0) for n in range(3)], TRUE)


def state_list(denoiser, volumes, settings, **named):
    generator = torch.Generator().manual_seed(0)
    scan = draw_scan([volumes.draw(generator).images], SCANS, generator)
    stack = Stack(torch.cat((scan.truth.abs(), scan.beside)), (3.0, 3.0))
    return states_of_scan(denoiser, scan, stack, np.random.default_rng(0), settings, **named), scan


def test_every_step_is_a_state_with_the_truth_at_its_resolution(denoiser, volumes):
    settings = ImageSettings(steps=5)
    states, scan = state_list(denoiser, volumes, settings)
    assert len(states) == 5
    sides = [state.truth.shape[-1] for state in states]
    assert sides[0] < sides[-1] == scan.truth.shape[-1]
    for state in states:
        assert state.noisy.shape == state.estimate.shape == state.truth.shape == state.beside.images.shape[-2:]
        assert float(state.truth.abs().max()) == pytest.approx(1, abs=0.5)
        # every slice of this volume is the same, at every resolution
        error = (state.beside.images[1:].amax(dim=0) - state.truth.abs()).square().mean().sqrt()
        assert float(error) < 0.05


def test_a_head_that_says_nothing_leaves_the_states_as_they_are(denoiser, volumes):
    settings = ImageSettings(steps=3)
    alone, scan = state_list(denoiser, volumes, settings)
    planes = planes_of(alone[-1].beside, scan.sigma / scan.scale, float(scan.counts.mean()))
    told, _ = state_list(denoiser, volumes, settings, head=NeighbourHead(), planes=planes)
    assert all(torch.equal(a.estimate, b.estimate) for a, b in zip(alone, told, strict=True))


@pytest.mark.slow
def test_a_neighbour_that_is_the_truth_is_learnt_from(denoiser, volumes):
    losses = []
    settings = NeighbourTraining(
        n_scans=4, steps_per_scan=40, rate=5e-3, patch=32, scans=SCANS, sampler=ImageSettings(steps=3), drawn=1
    )
    train_neighbours(denoiser, volumes, settings, lambda *told: losses.append(told[1]))
    assert losses[-1] < 0.5  # 1 is the error of the denoiser alone


@pytest.mark.slow
def test_training_repeats_with_its_seed(denoiser, volumes):
    settings = NeighbourTraining(n_scans=1, steps_per_scan=2, patch=32, scans=SCANS, sampler=ImageSettings(steps=2))
    settings = replace(settings, own_images_from=0.0)

    def trained(seed):
        made = train_neighbours(denoiser, volumes, replace(settings, seed=seed), lambda *_: None)
        return torch.cat([value.reshape(-1) for value in made.state_dict().values()])

    assert torch.equal(trained(1), trained(1))
    assert not torch.equal(trained(1), trained(2))


def test_planes_of_nobody_are_none():
    assert planes_of(Stack(torch.zeros(3, 8, 8), (0.0, 0.0)), 0.1, 0.3) is None


def test_what_trains_nothing_is_refused():
    with pytest.raises(ValueError, match="expected scans, steps, a batch"):
        NeighbourTraining(n_scans=0)
