import numpy as np
import pytest
import torch

from nilatron.core.backend import complex_normal
from nilatron.core.coils.compression import compress, compression_matrix

SHAPE = (1, 48, 40)
COUNTS = np.zeros(SHAPE, np.float32)
COUNTS[:, ::3] = 1
COUNTS[:, 20:28] = 2


def weighted(n_coils, n_signals, snr, seed=0):
    """Weighted k-space of `n_signals` independent sources seen by `n_coils`, in noise of variance 1."""
    rng = np.random.default_rng(seed)
    reference = np.zeros(1, np.complex64)
    sources = complex_normal(rng, (n_signals, *SHAPE), reference)
    mixing = np.linalg.qr(complex_normal(rng, (n_coils, n_coils), reference))[0][:, :n_signals]
    noise = complex_normal(rng, (n_coils, *SHAPE), reference)
    signal = np.float32(snr) * np.tensordot(mixing, sources, axes=1)
    return (np.sqrt(COUNTS) * signal + (COUNTS > 0) * noise).astype(np.complex64), mixing


@pytest.mark.parametrize("n_signals", [1, 5, 16])
def test_as_many_virtual_coils_stay_as_there_are_signals(n_signals):
    data, mixing = weighted(16, n_signals, snr=3)
    matrix = compression_matrix(data, COUNTS)
    assert matrix.shape == (n_signals, 16)
    kept = matrix @ mixing
    assert np.linalg.norm(kept) ** 2 == pytest.approx(n_signals, rel=0.02)


def test_white_noise_stays_white_and_the_strongest_comes_first():
    data, _ = weighted(8, 8, snr=np.linspace(5, 3, 8)[:, None, None, None])
    matrix = compression_matrix(data, COUNTS, max_coils=5)
    np.testing.assert_allclose(matrix @ matrix.conj().T, np.eye(5), atol=1e-5)
    energy = np.sum(np.abs(compress(matrix, data)) ** 2, axis=(1, 2, 3))
    assert (np.diff(energy) <= 0).all()


def test_of_noise_alone_and_of_nothing_one_coil_stays():
    noise, _ = weighted(8, 1, snr=0)
    assert compression_matrix(noise, COUNTS).shape[0] <= 2
    assert compression_matrix(0 * noise, COUNTS).shape == (1, 8)
    assert compression_matrix(0 * noise, 0 * COUNTS).shape == (1, 8)


def test_torch_gives_the_same_virtual_coils():
    data, _ = weighted(6, 3, snr=4)
    expected = compression_matrix(data, COUNTS)
    found = compression_matrix(torch.from_numpy(data), torch.from_numpy(COUNTS)).numpy()
    np.testing.assert_allclose(found.conj().T @ found, expected.conj().T @ expected, atol=1e-4)


def test_no_coil_at_all_is_refused():
    with pytest.raises(ValueError, match="at least 1 virtual coil"):
        compression_matrix(weighted(4, 2, 3)[0], COUNTS, max_coils=0)
