import numpy as np
import pytest
import torch

from nilatron.core.prior.edm import EDMDenoiser
from nilatron.core.prior.errors.head import Delivered, ErrorHead, ErrorHeadConfig, ln_variance
from nilatron.core.prior.errors.training import ErrorExample, HeadTraining, example_of, train_head
from nilatron.core.prior.training_scans import ScanSettings, draw_scan
from nilatron.core.prior.unet import UNetConfig


def of_a_gaussian_prior(seed, n=32):
    """An image x0 ~ CN(1, v) measured with noise of two strengths, left and right; its posterior mean is what is delivered.

    The posterior variance v s^2 / (v + s^2) is known in every pixel; half of it is that of the magnitude, whose error is the
    one along the phase.
    """
    generator = torch.Generator().manual_seed(seed)

    def draw():
        return torch.view_as_complex(torch.randn(1, n, n, 2, generator=generator) / 2**0.5)

    prior, noise = 0.02, 0.05
    sigma = torch.where(torch.arange(n) < n // 2, 0.03, 0.12).expand(1, n, n)
    truth = 1 + prior**0.5 * draw()
    data = truth + sigma * draw()
    gain = prior / (prior + sigma**2)
    image = 1 + gain * (data - 1)
    seen = Delivered(
        image, data, data, image, noise=torch.tensor([noise]), share=torch.tensor([1.0]), misfit=torch.tensor([1.0])
    )
    return ErrorExample(seen, truth), gain * sigma**2 / 2


@pytest.mark.slow
def test_the_head_learns_the_posterior_variance_of_a_gaussian_prior():
    examples = [of_a_gaussian_prior(seed)[0] for seed in range(16)]
    torch.manual_seed(0)
    head = train_head(
        ErrorHead(ErrorHeadConfig((8, 8, 8))), examples, HeadTraining(steps=400, rate=5e-3, patch=32), lambda *_: None
    )
    fresh, variance = of_a_gaussian_prior(99)
    with torch.inference_mode():
        ratio = (ln_variance(head, fresh.seen).exp() / variance)[..., 4:-4, :]
    for half in (ratio[..., 3:12], ratio[..., 20:29]):
        assert float(half.log().mean().exp()) == pytest.approx(1, abs=0.15)


@pytest.mark.slow
def test_training_repeats_with_its_seed():
    examples = [of_a_gaussian_prior(0)[0]]

    def losses():
        torch.manual_seed(3)
        found = []
        train_head(
            ErrorHead(ErrorHeadConfig((8, 8, 8))), examples, HeadTraining(steps=3), lambda _, loss: found.append(loss)
        )
        return found

    assert losses() == losses()


@pytest.mark.slow
def test_an_example_has_image_and_truth_of_image_scale_1():
    denoiser = EDMDenoiser(UNetConfig((8,), (1,), 8), 0.5).eval()
    image = torch.zeros(96, 96)
    image[20:70, 25:80] = 1
    scan = draw_scan([image], ScanSettings(sigma=(0.01, 0.01), accelerations=(2,)), torch.Generator().manual_seed(0))
    example = example_of(denoiser, scan, np.random.default_rng(0))
    assert example.seen.image.shape == example.truth.shape == scan.truth.shape
    assert float(example.truth.abs().max()) == pytest.approx(1, abs=0.4)
    assert float(example.seen.noise[0]) == pytest.approx(scan.sigma / scan.scale)
    assert float(example.error[example.inside].abs().mean()) < 0.3


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"rate": 0.0}, {"patch": 4}, {"batch_size": 0}])
def test_settings_that_train_nothing_are_refused(wrong):
    with pytest.raises(ValueError, match="expected steps"):
        HeadTraining(**wrong)
