import pytest
import torch

from nilatron.core.prior.outliers import SIDE, fractal, outlier, refilled, shuffled, warped

HEAD = torch.zeros(SIDE, SIDE)
HEAD[20:140, 30:130] = torch.rand(120, 100, generator=torch.Generator().manual_seed(0)) * 0.5 + 0.5


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_all_kinds_are_finite_magnitudes_and_repeat():
    for seed in range(60):
        image = outlier(HEAD, generator(seed))
        assert image.shape == (SIDE, SIDE)
        assert torch.isfinite(image).all()
        assert float(image.min()) >= -1e-6
        assert torch.equal(image, outlier(HEAD, generator(seed)))


def test_a_shuffled_head_has_its_pixels_at_other_places():
    image = shuffled(HEAD, generator(1))
    side = image.shape[0]
    assert float(image.sum()) == pytest.approx(float(HEAD[:side, :side].sum()), rel=1e-5)
    assert not torch.equal(image, HEAD[:side, :side])


def test_a_refilled_head_keeps_the_air_around_it():
    assert float(refilled(HEAD, generator(2))[:8].abs().max()) == 0


def test_a_warped_head_is_moved_by_a_part_of_its_size():
    assert 0.02 < float((warped(HEAD, generator(3)) - HEAD).abs().mean()) < 0.5


def test_a_fractal_of_exponent_0_is_white():
    field = fractal(0.0, generator(4))
    assert abs(float((field[1:] * field[:-1]).mean())) < 0.03
    smooth = fractal(2.0, generator(4))
    assert float((smooth[1:] * smooth[:-1]).mean()) > 0.9
