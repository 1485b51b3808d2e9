from dataclasses import replace

import numpy as np
import pytest
import torch

from nilatron.core.prior.acquired import AcquisitionSettings
from nilatron.core.prior.edm import EDMDenoiser
from nilatron.core.prior.lesions import LesionSettings
from nilatron.core.prior.neighbour_head import NeighbourHead
from nilatron.core.prior.neighbour_training import (
    NeighbourTraining,
    image_of,
    last_step_of,
    planes_of,
    train_neighbours,
)
from nilatron.core.prior.training_scans import ScanSettings, draw_scan
from nilatron.core.prior.unet import UNetConfig
from nilatron.core.prior.volumes import NeighbourSettings, Place, Stack, Volumes
from nilatron.core.sampling.image import ImageSettings
from nilatron.core.sampling.unrolled import log_error

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


def last_step(denoiser, volumes, settings):
    generator = torch.Generator().manual_seed(0)
    scan = draw_scan([volumes.draw(generator).images], SCANS, generator)
    stack = Stack(torch.stack([scan.truth[0].abs()] * 3), (3.0, 3.0))
    return last_step_of(denoiser, scan, stack, np.random.default_rng(0), settings)


def test_a_head_that_says_nothing_makes_the_image_that_the_sampler_makes(denoiser, volumes):
    settings = ImageSettings(steps=4)
    last = last_step(denoiser, volumes, settings)
    planes = planes_of(last.beside, last.scan.sigma / last.scan.scale, float(last.scan.counts.mean()))
    image = image_of(NeighbourHead(), last, planes, settings)
    assert float(log_error(image.detach(), last.scan.truth, last.scan.scale)) == pytest.approx(last.error, abs=1e-4)


def test_the_gradient_reaches_the_head_through_data_consistency(denoiser, volumes):
    settings = ImageSettings(steps=2)
    last = last_step(denoiser, volumes, settings)
    head = NeighbourHead()
    planes = planes_of(last.beside, last.scan.sigma / last.scan.scale, float(last.scan.counts.mean()))
    log_error(image_of(head, last, planes, settings), last.scan.truth, last.scan.scale).backward()
    assert head.last.weight.grad.abs().max() > 0


@pytest.mark.slow
def test_a_neighbour_that_is_the_truth_is_learnt_from(denoiser, volumes):
    gains = []
    settings = NeighbourTraining(n_scans=4, steps_per_scan=20, rate=5e-3, scans=SCANS, sampler=ImageSettings(steps=3))
    train_neighbours(denoiser, volumes, settings, lambda *told: gains.append(told[1]))
    assert gains[-1] > 1  # dB


@pytest.mark.slow
def test_training_repeats_with_its_seed(denoiser, volumes):
    settings = NeighbourTraining(n_scans=1, steps_per_scan=2, scans=SCANS, sampler=ImageSettings(steps=2))

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
