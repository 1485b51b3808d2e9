import numpy as np
import pytest
import torch
import torch.nn.functional as F

from nilatron.core.prior.correction_training import example
from nilatron.core.prior.edm import EDMDenoiser
from nilatron.core.prior.errors.head import N_INPUTS, Delivered, head_inputs
from nilatron.core.prior.errors.training import example_of
from nilatron.core.prior.lesions import LesionSettings
from nilatron.core.prior.second_look.head import SecondLook, looked_again
from nilatron.core.prior.second_look.training import LookTraining, look_example, train_look
from nilatron.core.prior.small_unet import SmallUNetConfig
from nilatron.core.prior.training_scans import ScanSettings, draw_scan
from nilatron.core.prior.unet import UNetConfig

SCANS = ScanSettings(
    sigma=(0.03, 0.03), accelerations=(2,), lesions=LesionSettings(probability=1.0, diameter=(5.0, 9.0), contrast=(0.3, 0.6))
)  # fmt: skip


@pytest.fixture(scope="module")
def scans():
    """Scans of a disc with lesions, and the images of a denoiser that knows little."""
    image = torch.zeros(96, 96)
    image[20:70, 25:80] = 1
    denoiser = EDMDenoiser(UNetConfig((8,), (1,), 8), 0.5).eval()
    made = [draw_scan([image], SCANS, torch.Generator().manual_seed(seed)) for seed in range(3)]
    return [(example_of(denoiser, scan, np.random.default_rng(0)), scan) for scan in made]


def trained(scans, **settings):
    torch.manual_seed(0)
    head = SecondLook(SmallUNetConfig((8, 8, 8, 8)))
    examples = [look_example(*scan) for scan in scans]
    return train_look(head, examples, LookTraining(patch=48, batch_size=4, **settings), lambda *_: None)


def too_dark(seed):
    """An image a fifth darker than its truth, with noise, and what a head is shown of it."""
    generator = torch.Generator().manual_seed(seed)
    truth = 0.5 + 0.2 * torch.rand(1, 1, 6, 6, generator=generator)
    truth = F.interpolate(truth, size=(48, 48), mode="bicubic")[0].to(torch.complex64)
    image = 0.8 * truth + 0.01 * torch.randn(1, 48, 48, generator=generator)
    numbers = torch.tensor([0.05])
    seen = Delivered(image, image, image, image, numbers, numbers, numbers)
    return seen, truth, example(head_inputs(seen)[0], image[0].abs(), truth[0].abs(), torch.zeros(48, 48))


@pytest.mark.slow
def test_what_is_wrong_in_the_images_is_learnt():
    torch.manual_seed(0)
    settings = LookTraining(steps=150, rate=5e-3, patch=32, batch_size=4, kept=1.0)
    head = train_look(
        SecondLook(SmallUNetConfig((8, 8, 8, 8))), [too_dark(seed)[2] for seed in range(4)], settings, lambda *_: None
    )
    seen, truth, _ = too_dark(99)
    with torch.inference_mode():
        after = (looked_again(head, seen) - truth).abs().square().mean()
    assert float(after) < 0.1 * float((seen.image - truth).abs().square().mean())


@pytest.mark.slow
def test_training_repeats_with_its_seed(scans):
    first, second = (trained(scans, steps=3) for _ in range(2))
    assert all(
        torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )


@pytest.mark.slow
def test_a_part_of_what_was_learnt_is_kept(scans):
    whole, half = (trained(scans, steps=3, kept=kept) for kept in (1.0, 0.5))
    inputs = torch.rand(1, N_INPUTS, 16, 16)
    assert torch.allclose(half(inputs), 0.5 * whole(inputs))


def test_an_example_has_the_lesions_of_the_object(scans):
    delivered, scan = scans[0]
    one = look_example(delivered, scan)
    shown = one.lesions.float()
    without = delivered.truth[0].abs() - shown
    assert float(shown.abs().max()) > 0.1
    # the object is flat without them but for shading
    marked = shown.abs() > 0.1
    assert float(without[marked].std()) < float(delivered.truth[0].abs()[marked].std())


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"rate": 0.0}, {"patch": 4}, {"batch_size": 0}, {"contrast_weight": -1.0}]
)
def test_settings_that_train_nothing_are_refused(wrong):
    with pytest.raises(ValueError, match="expected steps"):
        LookTraining(**wrong)


@pytest.mark.parametrize("kept", [0.0, 1.5])
def test_what_is_kept_is_a_share(kept):
    with pytest.raises(ValueError, match="kept must be above 0"):
        LookTraining(kept=kept)
