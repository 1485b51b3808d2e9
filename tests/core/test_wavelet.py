import numpy as np
import pytest
import torch

from nilatron.core.wavelet import Wavelet, soft_threshold

RNG = np.random.default_rng(0)
SHAPES = [(1, 32, 48), (1, 33, 47), (1, 230, 181), (9, 17, 40), (1, 5, 64), (3, 3, 3), (1, 1, 1)]


def random(*shape):
    return RNG.standard_normal(shape) + 1j * RNG.standard_normal(shape)


@pytest.mark.parametrize("shape", SHAPES)
def test_isometry_with_its_adjoint_as_inverse(shape):
    wavelet, x = Wavelet(shape), random(2, *shape)
    c = wavelet.forward(x)
    assert c.shape == (2, *wavelet.padded_shape)
    np.testing.assert_allclose(wavelet.adjoint(c), x, atol=1e-12)
    assert np.linalg.norm(c) == pytest.approx(np.linalg.norm(x))
    other = random(2, *wavelet.padded_shape)
    assert np.vdot(other, c) == pytest.approx(np.vdot(wavelet.adjoint(other), x))


@pytest.mark.parametrize("shape", SHAPES)
def test_orthonormal_on_the_padded_grid(shape):
    wavelet = Wavelet(shape)
    c = random(*wavelet.padded_shape)
    np.testing.assert_allclose(wavelet.analyse(wavelet.synthesise(c)), c, atol=1e-12)
    assert np.linalg.norm(wavelet.synthesise(c)) == pytest.approx(np.linalg.norm(c))


def test_two_vanishing_moments():
    line = np.broadcast_to(np.arange(32.0), (1, 32, 32))
    details = np.abs(Wavelet((1, 32, 32), max_levels=1).forward(line))[0, 0, 16:31]  # the last wraps around
    np.testing.assert_allclose(details, 0, atol=1e-12)
    assert np.abs(Wavelet((1, 32, 32), max_levels=1).forward(line**2))[0, 0, 16:31].min() > 0.1


def test_details_of_a_constant_are_zero():
    wavelet = Wavelet((1, 32, 64))
    assert wavelet.detail_mean(np.ones((1, 32, 64))) == pytest.approx(0, abs=1e-12)
    assert wavelet.detail_mean(random(1, 32, 64)) > 0.5


def test_soft_threshold_keeps_phase_and_shrinks_jointly():
    c = np.array([[3 + 4j, 0.1j, 0], [0, 0, 0]])
    np.testing.assert_allclose(soft_threshold(c, 1.0)[0], [0.8 * (3 + 4j), 0, 0])


@pytest.mark.parametrize("shift", [None, (0, 3, 5)])
def test_shrink_is_the_proximal_map(shift):
    wavelet, weight = Wavelet((1, 21, 32)), 0.7
    x = random(*wavelet.padded_shape)

    def objective(z):
        c = wavelet.analyse(np.roll(z, shift or (0, 0, 0), (-3, -2, -1)))
        c[wavelet.coarse] = 0
        return weight * np.abs(c).sum() + np.linalg.norm(z - x) ** 2 / 2

    best = wavelet.shrink(x, weight, shift)
    for _ in range(20):
        assert objective(best) < objective(best + 0.01 * random(*x.shape))


def test_random_shifts_are_seeded_and_cover_the_grid():
    wavelet = Wavelet((1, 64, 64))
    draws = {wavelet.random_shift(np.random.default_rng(seed)) for seed in range(50)}
    assert len(draws) > 20
    assert all(s[0] == 0 and 0 <= s[1] < 16 for s in draws)
    assert wavelet.random_shift(np.random.default_rng(3)) == wavelet.random_shift(np.random.default_rng(3))


def test_torch_agrees_and_inputs_stay():
    wavelet, x = Wavelet((1, 33, 30)), random(1, 33, 30).astype(np.complex64)
    kept = x.copy()
    padded = wavelet.pad(x)
    found = wavelet.shrink(wavelet.pad(torch.from_numpy(x)), 0.5, (0, 1, 2))
    np.testing.assert_allclose(found.numpy(), wavelet.shrink(padded, 0.5, (0, 1, 2)), atol=1e-5)
    np.testing.assert_array_equal(x, kept)
    np.testing.assert_array_equal(wavelet.crop(padded), kept)


def test_bad_shapes_are_refused():
    with pytest.raises(ValueError, match="positive sizes"):
        Wavelet((1, 0, 4))
