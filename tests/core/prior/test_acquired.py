import numpy as np
import pytest
import torch

from nilatron.core.fft import fft
from nilatron.core.prior.acquired import AcquisitionSettings, acquired_patches, simulate_acquisition
from nilatron.core.prior.augment import AugmentSettings

AS_STORED = AcquisitionSettings(field_of_view=(1.0, 1.0), kspace_share=(0.5, 0.5), uneven=0.0, sides=(8, 512))
PLAIN = AugmentSettings.phase_only()


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def blob(n_y=128, n_x=96):
    y, x = torch.meshgrid(torch.linspace(-1, 1, n_y), torch.linspace(-1, 1, n_x), indexing="ij")
    return ((y**2 + 1.3 * x**2) < 0.5).float() * (1 + 0.3 * torch.cos(9 * x))


def test_its_kspace_is_the_middle_of_that_of_the_stored_image():
    image = torch.polar(blob(64, 64), torch.zeros(64, 64))  # complex: only turned and flipped
    acquired = simulate_acquisition(image, AS_STORED, PLAIN, generator()).numpy()
    assert acquired.shape == (32, 32)
    kept = fft(acquired, (-2, -1))
    turned = [torch.rot90(image, turns) for turns in range(4)]
    candidates = [one for view in turned for one in (view, view.flip(-2))]
    whole = [fft(one.numpy(), (-2, -1))[16:48, 16:48] for one in candidates]
    ratios = [np.abs(np.vdot(one, kept)) / np.linalg.norm(one) / np.linalg.norm(kept) for one in whole]
    assert max(ratios) == pytest.approx(1, abs=1e-5)


def test_its_spectrum_reaches_the_edge_where_that_of_a_stored_image_has_fallen_off():
    def at_the_edge(image):
        power = np.abs(fft(image, (-2, -1))) ** 2
        n_y, n_x = power.shape
        inner = power[n_y // 16 : -(n_y // 16), n_x // 16 : -(n_x // 16)].sum()
        return 1 - inner / power.sum()

    stored = torch.nn.functional.interpolate(blob()[None, None], scale_factor=2, mode="bicubic")[0, 0]
    acquired = simulate_acquisition(stored, AS_STORED, PLAIN, generator())
    assert at_the_edge(acquired.numpy()) > 4 * at_the_edge(stored.numpy().astype(np.complex64))


@pytest.mark.parametrize("seed", range(10))
def test_sides_and_scale_are_as_asked_for_and_repeat_with_the_seed(seed):
    settings = AcquisitionSettings(sides=(40, 90))
    first, again = (simulate_acquisition(blob(), settings, AugmentSettings(), generator(seed)) for _ in range(2))
    assert torch.equal(first, again)
    assert all(40 <= n <= 90 for n in first.shape)
    assert float(torch.quantile(first.abs().flatten(), 0.995)) == pytest.approx(1, rel=1e-3)


def test_a_small_image_gets_air_around_it_and_an_empty_one_stays_empty():
    settings = AcquisitionSettings(sides=(64, 128))
    assert simulate_acquisition(blob(20, 30), settings, PLAIN, generator()).shape == (64, 64)
    empty = simulate_acquisition(torch.zeros(70, 70), settings, AugmentSettings(), generator())
    assert not empty.abs().max() > 0
    patches = acquired_patches([blob(20, 30)], 3, 96, settings, PLAIN, generator())
    assert patches.shape == (3, 2, 96, 96)
    assert torch.isfinite(patches).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"field_of_view": (1.2, 1.0)},
        {"kspace_share": (0.0, 0.5)},
        {"kspace_share": (0.6, 0.5)},
        {"uneven": 1.0},
        {"sides": (4, 100)},
        {"sides": (90, 80)},
    ],
)
def test_what_no_scanner_has_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        AcquisitionSettings(**wrong)


def test_values_below_zero_that_resampling_left_are_zero():
    image = blob() - 0.01
    assert torch.isfinite(
        torch.view_as_real(simulate_acquisition(image, AS_STORED, AugmentSettings(gamma_probability=1.0), generator()))
    ).all()
