from dataclasses import replace

import numpy as np
import pytest
import torch

from nilatron.core.prior.acquired import AcquisitionSettings
from nilatron.core.prior.edm import EDMDenoiser
from nilatron.core.prior.lesions import LesionSettings
from nilatron.core.prior.neighbours.head import NeighbourHead, answered, head_inputs
from nilatron.core.prior.neighbours.planes import neighbour_planes
from nilatron.core.prior.neighbours.training import (
    NeighbourTraining,
    ScannedRun,
    ScannedSlice,
    fitted_scale,
    neighbours_of,
    reconstructed,
    scale_answers,
    scanned_run,
    train_neighbours,
    views_of,
)
from nilatron.core.prior.second_look.head import SecondLook
from nilatron.core.prior.small_unet import CORRECTION_UNIT, SmallUNetConfig
from nilatron.core.prior.training_scans import ScanSettings, draw_scan
from nilatron.core.prior.unet import UNetConfig
from nilatron.core.prior.volumes import NeighbourSettings, Place, Volumes
from nilatron.core.sampling.image import ImageSettings

SCANS = ScanSettings(
    n_coils=(3, 3), calibration_lines=(12,), acquisition=AcquisitionSettings(sides=(72, 80)),
    lesions=LesionSettings(probability=0.0),
)  # fmt: skip
RIGHT = NeighbourSettings(max_step=1, drop_probability=0.0, other_probability=0.0, gain=0.0, shift_probability=0.0)
TRAINING = NeighbourTraining(n_scans=2, steps_per_scan=2, patch=48, scans=SCANS, sampler=ImageSettings(steps=2))


@pytest.fixture
def denoiser():
    """A network that is zero: D(x) = c x."""
    return EDMDenoiser(UNetConfig((8,), (1,), 8), sigma_data=0.3).eval().requires_grad_(False)


@pytest.fixture
def volumes():
    """A volume whose slices are all the same."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, 96), torch.linspace(-1, 1, 96), indexing="ij")
    image = (y**2 + x**2 < 0.7) * (0.6 + 0.3 * torch.sin(9 * x) * torch.cos(7 * y))
    return Volumes([image] * 3, [Place(0, n, 1.0) for n in range(3)], RIGHT)


def scanned(value, scale=1.0):
    """A slice of one value."""
    flat = torch.full((8, 8), value)
    return ScannedSlice(flat.expand(4, 8, 8), flat, 1.1 * flat, torch.zeros(8, 8), scale, 0.05, 0.3)


def run(scales=(1.0, 1.0, 1.0)):
    return ScannedRun([scanned(1.0 + n, scale) for n, scale in enumerate(scales)], 3.0)


def told(number, settings=RIGHT, scanned_together=None):
    scanned_together = scanned_together or run()
    return neighbours_of(scanned_together, number, [scanned_together], settings, torch.Generator().manual_seed(0))


def test_image_and_truth_of_the_scan_have_image_scale_1(denoiser):
    scan = draw_scan([torch.rand(80, 80, generator=torch.Generator().manual_seed(0))], SCANS, torch.Generator())
    one = reconstructed(denoiser, scan, np.random.default_rng(0), ImageSettings(steps=2))
    assert torch.allclose(one.truth, scan.truth[0].abs() / scan.scale, atol=1e-5)
    assert float((one.magnitude - one.truth).abs().mean()) < 0.3
    assert one.noise == pytest.approx(scan.sigma / scan.scale)


def test_what_is_learnt_from_are_images_after_a_second_look(denoiser):
    scan = draw_scan([torch.rand(80, 80, generator=torch.Generator().manual_seed(0))], SCANS, torch.Generator())
    torch.manual_seed(0)
    look = SecondLook(SmallUNetConfig((4, 4, 4, 4))).eval()
    torch.nn.init.constant_(look.last.bias, 0.2)
    before, after = (
        reconstructed(denoiser, scan, np.random.default_rng(0), ImageSettings(steps=2), part) for part in (None, look)
    )
    bright = before.magnitude > 0.3  # inside of what is looked at
    assert torch.allclose(after.magnitude[bright], before.magnitude[bright] + 0.2 * CORRECTION_UNIT, atol=1e-4)
    assert torch.equal(after.own, before.own)


def test_slices_of_a_run_have_lines_and_noise_level_in_common_and_noise_of_their_own(denoiser, volumes):
    made = scanned_run(denoiser, volumes, TRAINING, 0, torch.Generator().manual_seed(0))
    assert len({one.share for one in made.slices}) == 1
    assert not torch.equal(made.slices[0].magnitude, made.slices[1].magnitude)


def test_neighbours_are_the_nearest_on_each_side():
    assert [(float(one.magnitude[0, 0]), one.distance_mm) for one in told(1)] == [(1.0, 3.0), (3.0, 3.0)]
    assert [(float(one.magnitude[0, 0]), one.distance_mm) for one in told(2)] == [(2.0, 3.0)]


def test_neighbours_have_the_units_of_the_slice():
    found = told(1, scanned_together=run((1.0, 2.0, 4.0)))
    assert [float(one.magnitude[0, 0]) for one in found] == [0.5, 6.0]


def test_what_is_dropped_is_gone():
    assert told(1, replace(RIGHT, drop_probability=1.0)) == []


def test_neighbours_have_other_gain():
    assert float(told(1, replace(RIGHT, gain=0.2))[0].magnitude[0, 0]) != 1


@pytest.mark.parametrize("errors", [{"other_probability": 1.0}, {"shift_probability": 1.0}])
def test_neighbours_that_show_something_else_or_have_moved_keep_their_mean(errors):
    images = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0))
    slices = [scanned(1.0)._replace(magnitude=image) for image in images]
    found = told(1, replace(RIGHT, **errors), ScannedRun(slices, 3.0))
    assert any(not torch.equal(one.magnitude, images[n]) for one, n in zip(found, (0, 2), strict=True))
    assert all(torch.isclose(one.magnitude.mean(), images[n].mean()) for one, n in zip(found, (0, 2), strict=True))


def test_slices_without_neighbours_are_not_learnt_from():
    generator = torch.Generator().manual_seed(0)
    assert len(views_of(run(), [run()], RIGHT, 2, generator)) == 6
    assert views_of(run(), [run()], replace(RIGHT, drop_probability=1.0), 2, generator) == []


@pytest.mark.slow
def test_what_neighbours_show_is_learnt(denoiser, volumes):
    gains = []
    settings = replace(TRAINING, n_scans=3, steps_per_scan=40, rate=5e-3)
    train_neighbours(denoiser, volumes, settings, lambda *said: gains.append(said[1]))
    assert gains[-1] > 1  # dB


@pytest.mark.slow
def test_training_repeats_with_its_seed(denoiser, volumes):
    def trained(seed):
        made = train_neighbours(denoiser, volumes, replace(TRAINING, seed=seed), lambda *_: None)
        return torch.cat([value.reshape(-1) for value in made.state_dict().values()])

    assert torch.equal(trained(1), trained(1))
    assert not torch.equal(trained(1), trained(2))


def test_answers_are_scaled_to_the_errors_of_slices_between_two_neighbours():
    torch.manual_seed(0)
    head = NeighbourHead(SmallUNetConfig((4, 4, 4, 4))).eval()
    torch.nn.init.normal_(head.last.weight)
    own = ScannedSlice(
        torch.rand(4, 24, 20), *(0.3 + torch.rand(24, 20) for _ in range(2)), torch.zeros(0), 2.0, 0.05, 0.3
    )
    before, after = (own._replace(magnitude=0.3 + torch.rand(24, 20), scale=scale) for scale in (1.0, 3.0))

    def said():
        beside = neighbours_of(ScannedRun([before, own, after], 3.0), 1, [], RIGHT, torch.Generator())
        with torch.inference_mode():
            return answered(head, head_inputs(own.own[None], neighbour_planes(beside, 1.0, 0.05, 0.3)[None]))[0]

    right = own._replace(truth=own.magnitude + 1.3 * said())
    slices = ScannedRun([before, right, after], 3.0)
    assert fitted_scale(head, [slices]) == pytest.approx(1.3, abs=1e-4)
    scale_answers(head, 1.3)
    assert torch.allclose(own.magnitude + said(), right.truth, atol=1e-4)
    assert fitted_scale(head, [slices]) == pytest.approx(1, abs=1e-4)
    assert fitted_scale(head, [ScannedRun([before, right], 3.0)]) == 1
    scale_answers(head, 0.01)
    assert fitted_scale(head, [slices]) == 2


def test_what_trains_nothing_is_refused():
    with pytest.raises(ValueError, match="expected scans, steps, a batch"):
        NeighbourTraining(n_scans=0)
