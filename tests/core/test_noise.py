import operator

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode

from nilatron.core.backend import to_numpy
from nilatron.core.fft import fft
from nilatron.core.noise import (
    QuietSamples,
    bandwidth_scale,
    covariance_from_data,
    noise_covariance,
    quiet_samples,
    samples_of_covariance,
    shrunk_covariance,
    sigma_from_data,
    whiten,
    whitening_matrix,
)


def correlated_noise(n_coils, shape, rng, gain_spread=5.0):
    mixing = rng.standard_normal((n_coils, n_coils)) + 1j * rng.standard_normal((n_coils, n_coils))
    root = np.eye(n_coils) + 0.3 * mixing / np.sqrt(n_coils)
    root = root * np.geomspace(1, gain_spread, n_coils)[:, None]
    white = (rng.standard_normal((n_coils, *shape)) + 1j * rng.standard_normal((n_coils, *shape))) / np.sqrt(2)
    return np.tensordot(root, white, 1).astype(np.complex64), root @ root.conj().T


def scan(n_coils, shape, sigma_scale, rng, acceleration=1, object_share=0.7):
    """K-space of a disc seen by smooth coils, plus correlated noise; and which lines were acquired."""
    n_y, n_x = shape
    y, x = np.mgrid[-1 : 1 : n_y * 1j, -1 : 1 : n_x * 1j]
    disc = ((y / object_share) ** 2 + (x / object_share) ** 2 < 1) * (1 + 0.3 * np.cos(9 * x) * np.cos(7 * y))
    angles = 2 * np.pi * np.arange(n_coils) / n_coils
    coils = np.stack([np.exp(-((y - np.sin(a)) ** 2 + (x - np.cos(a)) ** 2) / 2 + 1j * a) for a in angles])
    noise, covariance = correlated_noise(n_coils, shape, rng)
    counts = np.zeros((1, n_y, n_x), np.float32)
    counts[:, n_y // 2 % acceleration :: acceleration] = 1
    counts[:, n_y // 2 - 12 : n_y // 2 + 12] = 1
    kspace = (fft((30 * disc * coils)[:, None]) + sigma_scale * noise[:, None]).astype(np.complex64)
    return kspace * counts, counts, covariance * sigma_scale**2


@pytest.mark.parametrize("n_coils", [1, 2, 8, 32])
def test_whitening_the_noise_gives_the_identity(n_coils):
    rng = np.random.default_rng(0)
    noise, _ = correlated_noise(n_coils, (20_000,), rng)
    white = whiten(whitening_matrix(noise_covariance(noise)), noise)
    assert np.abs(noise_covariance(white) - np.eye(n_coils)).max() < 1e-4
    fresh, _ = correlated_noise(n_coils, (20_000,), np.random.default_rng(0))
    assert np.allclose(white, whiten(whitening_matrix(noise_covariance(fresh)), fresh))


def test_torch_whitens_like_numpy():
    noise, _ = correlated_noise(4, (500,), np.random.default_rng(1))
    expected = whiten(whitening_matrix(noise_covariance(noise)), noise)
    tensor = torch.from_numpy(noise)
    got = whiten(whitening_matrix(noise_covariance(tensor)), tensor)
    assert np.linalg.norm(got.numpy() - expected) < 1e-4 * np.linalg.norm(expected)


def test_a_dead_coil_is_left_out_and_the_others_are_whitened():
    noise, _ = correlated_noise(4, (5_000,), np.random.default_rng(2))
    noise[2] = 0
    white = noise_covariance(whiten(whitening_matrix(noise_covariance(noise)), noise))
    assert np.isfinite(white).all()
    assert np.isclose(np.real(np.trace(white)), 3, atol=0.01)


def test_a_repeated_coil_does_not_blow_up():
    noise, _ = correlated_noise(4, (5_000,), np.random.default_rng(3))
    noise[3] = noise[0]
    white = noise_covariance(whiten(whitening_matrix(noise_covariance(noise)), noise))
    assert np.allclose(np.sort(np.linalg.eigvalsh(white)), [0, 1, 1, 1], atol=1e-3)


def test_the_covariance_of_two_samples():
    np.testing.assert_array_equal(noise_covariance(np.array([[1, 1j], [2, 0]])), [[2, 2], [2, 4]])
    np.testing.assert_array_equal(noise_covariance(np.array([[1, 1j, 0], [2j, 0, 1]])), [[1, -1j], [1j, 2.5]])


def test_broken_covariances_and_too_few_samples_are_refused():
    with pytest.raises(ValueError, match="at least 2 samples"):
        noise_covariance(np.ones((4, 1), np.complex64))
    for value in (np.nan, -1.0):
        with pytest.raises(ValueError, match="not finite or negative"):
            whitening_matrix(np.full((2, 2), value, np.complex64))


def test_the_bandwidth_scale_follows_dwell_times_and_ratio():
    assert bandwidth_scale(5.0, 5.0, 1.0) == 1.0
    assert bandwidth_scale(10.0, 5.0, 0.8) == pytest.approx(2.5)
    assert bandwidth_scale(0.0, 5.0, 0.8) == 1.0
    assert bandwidth_scale(10.0, 0.0, 0.8) == 1.0
    assert bandwidth_scale(float("nan"), 5.0, 0.8) == bandwidth_scale(10.0, float("nan"), 0.8) == 1.0


@pytest.mark.parametrize("sigma_scale", [0.05, 0.3, 2.0])
@pytest.mark.parametrize("acceleration", [1, 4])
@pytest.mark.parametrize("shape", [(96, 128), (131, 90)])
def test_the_covariance_is_found_in_the_data(sigma_scale, acceleration, shape):
    rng = np.random.default_rng(4)
    kspace, counts, truth = scan(8, shape, sigma_scale, rng, acceleration)
    found = covariance_from_data(kspace, counts)
    ratio = np.real(np.trace(np.linalg.solve(truth, found))) / 8
    assert 0.8 < ratio < 1.3
    root = np.linalg.cholesky(truth)
    white = whiten(np.linalg.inv(root), kspace)
    assert sigma_from_data(white, counts) == pytest.approx(1, abs=0.12)


def white_scan(n_coils, shape, acceleration, seed):
    """K-space of white noise alone, and which lines of it were acquired."""
    parts = np.random.default_rng(seed).standard_normal((2, n_coils, 1, *shape)) * np.sqrt(0.5)
    counts = np.zeros((1, *shape), np.float32)
    counts[:, ::acceleration] = 1
    return ((parts[0] + 1j * parts[1]) * counts).astype(np.complex64), counts


def eigenvalues_after_whitening(kspace, counts):
    """Of white noise of variance 1."""
    whitening = whitening_matrix(covariance_from_data(kspace, counts)).astype(np.complex128)
    return np.linalg.eigvalsh(whitening @ whitening.conj().T)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("n_coils", [8, 32, 64])
def test_white_noise_of_few_samples_stays_white(n_coils, seed):
    values = eigenvalues_after_whitening(*white_scan(n_coils, (64, 64), 4, seed))
    assert values[0] > 0.7
    assert values[-1] < 1.4


def test_unlike_coils_keep_their_gains_and_dead_ones_stay_dead():
    kspace, counts = white_scan(32, (64, 64), 4, 0)
    gains = np.geomspace(1, 20, 32)
    gains[7] = 0
    found = covariance_from_data((gains[:, None, None, None] * kspace).astype(np.complex64), counts)
    alive = gains > 0
    assert not found[7].any()
    assert not found[:, 7].any()
    # 50 samples: a deviation is known to 1 / sqrt(4 * 50) = 7 %
    np.testing.assert_allclose(np.sqrt(np.diag(found).real[alive]) / gains[alive], 1, atol=0.25)


@pytest.mark.parametrize("n_coils", [1, 4, 8])
def test_many_samples_are_not_shrunk(n_coils):
    noise, _ = correlated_noise(n_coils, (200_000,), np.random.default_rng(9))
    plain = noise @ noise.conj().T / noise.shape[1]
    shrunk = shrunk_covariance(plain, noise.shape[1])
    assert np.linalg.norm(shrunk - plain) < 1e-3 * np.linalg.norm(plain)


@pytest.mark.parametrize("n_coils", [8, 32])
@pytest.mark.parametrize("n_samples", [20, 100, 400])
def test_shrinkage_brings_the_covariance_nearer_to_the_truth(n_coils, n_samples):
    """In the measure that whitening sees: |W Psi W^H - I| with the true Psi."""
    errors = {"plain": [], "shrunk": []}
    for seed in range(10):
        noise, truth = correlated_noise(n_coils, (n_samples,), np.random.default_rng(seed))
        plain = (noise @ noise.conj().T / n_samples).astype(np.complex128)
        for name, covariance in (("plain", plain), ("shrunk", shrunk_covariance(plain, n_samples))):
            whitening = whitening_matrix(covariance)
            errors[name].append(np.linalg.norm(whitening @ truth @ whitening.conj().T - np.eye(n_coils)))
    assert np.mean(errors["shrunk"]) < np.mean(errors["plain"])


def test_shrinkage_is_known_for_two_coils_and_the_same_in_torch():
    plain = np.array([[1, 0.5j], [-0.5j, 1]])
    n = 20  # tr R = 2, tr R^2 = 2.5: rho = (4 - 1.25) / ((20 - 0.5) (2.5 - 2))
    rho = 2.75 / (19.5 * 0.5)
    expected = np.array([[1, 0.5j * (1 - rho)], [-0.5j * (1 - rho), 1]])
    np.testing.assert_allclose(shrunk_covariance(plain, n), expected, rtol=1e-12)
    np.testing.assert_allclose(shrunk_covariance(torch.from_numpy(plain), n).numpy(), expected, rtol=1e-12)


def test_the_level_is_that_of_the_quiet_samples():
    kspace, counts, _ = scan(4, (96, 96), 0.5, np.random.default_rng(5))
    samples = quiet_samples(kspace, counts)
    assert sigma_from_data(kspace, counts) == pytest.approx(np.sqrt(np.mean(np.abs(samples) ** 2)), rel=1e-6)


def test_averaged_lines_count_with_their_number():
    """The mean of four lines has a quarter of the variance; what is found is that of one acquired sample."""
    rng = np.random.default_rng(5)
    kspace, counts, _ = scan(4, (96, 96), 0.5, rng)
    clean, _, _ = scan(4, (96, 96), 0.0, np.random.default_rng(5))
    averaged = clean + (kspace - clean) / 2
    one, four = (np.trace(covariance_from_data(k, c)).real for k, c in ((kspace, counts), (averaged, 4 * counts)))
    assert four == pytest.approx(one, rel=0.1)


def test_half_sampled_readouts_have_their_full_noise_counted():
    rng = np.random.default_rng(6)
    noise, truth = correlated_noise(4, (64, 96), rng)
    counts = np.ones((1, 64, 96), np.float32)
    counts[..., :30] = 0
    found = covariance_from_data(noise[:, None] * counts, counts)
    assert np.trace(found).real == pytest.approx(np.trace(truth).real, rel=0.12)


@pytest.mark.parametrize(("n_lines", "value"), [(0, 1.0), (3, 1.0), (64, 0.0)])
def test_too_few_lines_or_no_signal_are_refused(n_lines, value):
    counts = np.zeros((1, 64, 64), np.float32)
    counts[:, :n_lines] = 1
    kspace = np.full((2, 1, 64, 64), value, np.complex64) * counts
    with pytest.raises(ValueError, match="cannot be measured"):
        sigma_from_data(kspace, counts)


def everywhere(_, shape):
    return np.ones(shape)


SETTINGS = QuietSamples(outer_fraction=0.33, block_width=7, quiet_fraction=0.3)
SCANS = {  # coils, (z, y, x), counts, settings, sigma
    "full": (4, (1, 64, 80), everywhere, None, 3.40138850),
    "1 coil, odd sizes": (1, (1, 97, 101), everywhere, None, 0.99585956),
    "32 coils": (32, (1, 48, 40), everywhere, None, 3.03140990),
    "every other line": (4, (1, 64, 80), lambda _, shape: np.arange(shape[1])[:, None] % 2, None, 3.39407972),
    "partial echo": (4, (1, 64, 96), lambda _, shape: np.arange(shape[2]) >= 30, None, 3.39279434),
    "averaged lines": (4, (1, 64, 96), lambda rng, shape: rng.integers(0, 5, (1, shape[1], 1)), None, 5.77410697),
    "scattered samples": (4, (1, 64, 96), lambda rng, shape: rng.integers(0, 3, shape), None, 4.37566575),
    "3D": (3, (12, 20, 32), everywhere, None, 3.21291801),
    "3D, odd, undersampled": (3, (9, 15, 33), lambda rng, shape: rng.random((*shape[:2], 1)) < 0.4, None, 3.35853325),
    "narrower than a block": (2, (1, 16, 3), everywhere, None, 2.94443904),
    "one column, 4 lines": (2, (1, 4, 1), everywhere, None, 2.74115845),
    "other settings": (4, (1, 64, 80), everywhere, SETTINGS, 3.37622367),
}


@pytest.mark.parametrize("name", SCANS)
def test_the_level_is_the_known_one_in_every_library(name):
    n_coils, shape, acquired, settings, sigma = SCANS[name]
    rng = np.random.default_rng(7)
    counts = np.broadcast_to(acquired(rng, shape), shape).astype(np.float32)
    grid = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    coils = 20 * np.exp(-4 * sum(axis**2 for axis in grid)) * np.exp(1j * np.arange(n_coils))[:, None, None, None]
    kspace = (fft(coils) + correlated_noise(n_coils, shape, rng)[0]) * (counts > 0)
    assert sigma_from_data(kspace, counts, settings) == pytest.approx(sigma, rel=1e-6)
    on_torch = sigma_from_data(torch.from_numpy(kspace), torch.from_numpy(counts), settings)
    assert on_torch == pytest.approx(sigma, rel=1e-6)


class Fetches(TorchFunctionMode):
    """Counts how often values come from the device, where the host would wait until all work before is done."""

    WAYS = (
        *("item", "tolist", "numpy", "__array__", "__dlpack__"),
        *("__bool__", "__int__", "__float__", "__complex__", "__index__", "__contains__"),
        *("nonzero", "argwhere", "masked_select", "unique", "equal", "allclose"),
    )

    def __init__(self):
        super().__init__()
        self.n = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        by_mask = func.__name__ in ("__getitem__", "__setitem__") and any(
            isinstance(part, torch.Tensor) and part.dtype == torch.bool
            for part in (args[1] if isinstance(args[1], tuple) else [args[1]])
        )
        self.n += by_mask or func.__name__ in self.WAYS
        return func(*args, **(kwargs or {}))


FETCHING = (
    *(bool, int, float, complex, operator.index, to_numpy, np.asarray, np.from_dlpack),
    *(torch.Tensor.item, torch.Tensor.tolist, torch.nonzero, lambda t: t[t > 0], lambda t: t in t),
)


@pytest.mark.parametrize("fetch", FETCHING)
def test_every_way_to_a_value_counts_as_a_fetch(fetch):
    value = torch.tensor(3)
    with Fetches() as fetches:
        fetch(value + value)
    assert fetches.n == 1


@pytest.mark.parametrize("shape", [(32, 48), (96, 256)])
def test_values_are_fetched_five_times_at_most_whatever_the_size(shape):
    """The number of lines, the energies, the lines of either half, the variances."""
    kspace, counts, _ = scan(4, shape, 0.3, np.random.default_rng(8))
    with Fetches() as fetches:
        sigma_from_data(torch.from_numpy(kspace), torch.from_numpy(counts))
    assert 0 < fetches.n <= 5


@pytest.mark.parametrize("to", [np.asarray, torch.from_numpy])
def test_a_spike_in_a_line_is_no_noise(to):
    kspace, counts, _ = scan(4, (96, 128), 0.3, np.random.default_rng(8))
    expected = sigma_from_data(to(kspace), to(counts))
    spoilt = kspace.copy()
    spoilt[:, 0, 6, 30] = 1000 * np.abs(kspace).max()
    assert sigma_from_data(to(spoilt), to(counts)) == pytest.approx(expected, rel=0.02)
    plain = np.asarray(covariance_from_data(to(kspace), to(counts)))
    np.testing.assert_allclose(covariance_from_data(to(spoilt), to(counts)), plain, atol=0.05 * np.abs(plain).max())


def test_samples_have_exactly_the_covariance_they_are_made_for():
    rng = np.random.default_rng(5)
    mixing = rng.standard_normal((4, 4)) + 1j * rng.standard_normal((4, 4))
    psi = mixing @ mixing.conj().T
    samples = samples_of_covariance(psi, 300, rng)
    np.testing.assert_allclose(noise_covariance(samples), psi, rtol=1e-12, atol=1e-12)
    kurtosis = np.mean(np.abs(samples) ** 4, axis=1) / np.mean(np.abs(samples) ** 2, axis=1) ** 2
    np.testing.assert_allclose(kurtosis, 2, atol=0.6)  # Gaussian
    with pytest.raises(ValueError, match="no 4 samples"):
        samples_of_covariance(psi, 4, rng)
    with pytest.raises(ValueError, match="eigenvalue -1"):
        samples_of_covariance(np.diag([1.0, -1.0]), 10, rng)
