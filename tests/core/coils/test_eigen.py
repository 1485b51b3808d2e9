import numpy as np
import pytest
import torch

from nilatron.core.coils.eigen import eigenvectors, leading_vectors, virtual_coils, with_fixed_phases

RNG = np.random.default_rng(0)


def random(*shape):
    return RNG.standard_normal(shape) + 1j * RNG.standard_normal(shape)


def test_virtual_coils_are_the_singular_value_decomposition():
    samples = random(5, 2, 30)
    virtual, to_coils = virtual_coils(samples)
    np.testing.assert_allclose(np.tensordot(to_coils, virtual, 1), samples, atol=1e-12)
    np.testing.assert_allclose(to_coils.conj().T @ to_coils, np.eye(5), atol=1e-12)
    values = np.linalg.svd(samples.reshape(5, -1), compute_uv=False)
    np.testing.assert_allclose(np.linalg.norm(virtual.reshape(5, -1), axis=1), values)
    turned, _ = virtual_coils(1j * samples)
    np.testing.assert_allclose(turned[0], 1j * virtual[0], atol=1e-10)


def test_weak_virtual_coils_are_left_out():
    samples = random(6, 2) @ random(2, 100)
    virtual, to_coils = virtual_coils(samples, tolerance=1e-9)
    assert virtual.shape == (2, 100)
    np.testing.assert_allclose(to_coils @ virtual, samples, atol=1e-8)
    everything, _ = virtual_coils(np.zeros((3, 4), complex))
    assert not everything.any()


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
def test_eigenvectors_diagonalise(kind):
    root = random(9, 9)
    matrix = root @ root.conj().T
    values, vectors = (np.asarray(part) for part in eigenvectors(kind(matrix)))
    assert (np.diff(values) > 0).all()
    np.testing.assert_allclose(matrix @ vectors, vectors * values, atol=1e-10)
    np.testing.assert_allclose(vectors.conj().T @ vectors, np.eye(9), atol=1e-12)


def test_leading_vectors():
    roots = random(20, 4, 4)
    matrices = roots @ np.conj(np.swapaxes(roots, 1, 2))
    matrices[0] = 0
    vectors, values = leading_vectors(matrices, 400)
    expected = np.linalg.eigvalsh(matrices)[:, -1]
    np.testing.assert_allclose(values, expected, rtol=1e-4)
    np.testing.assert_allclose((matrices @ vectors[..., None])[..., 0], expected[:, None] * vectors, atol=1e-2)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), [0, *[1] * 19])
    assert np.abs(vectors[:, 0].imag).max() == pytest.approx(0, abs=1e-12)


def test_the_number_of_virtual_coils_can_be_bounded():
    samples = np.random.default_rng(0).normal(size=(6, 50)) + 0j
    everything, _ = virtual_coils(samples)
    virtual, to_coils = virtual_coils(samples, max_coils=2)
    assert virtual.shape == (2, 50)
    assert to_coils.shape == (6, 2)
    assert np.allclose(virtual, everything[:2])


def test_eigenvectors_are_the_same_whatever_phase_a_library_gave_them():
    vectors = random(6, 4)
    turned = vectors * np.exp(1j * RNG.uniform(-3, 3, 4))
    np.testing.assert_allclose(with_fixed_phases(turned), with_fixed_phases(vectors), atol=1e-12)
    largest = np.abs(vectors).argmax(axis=0)
    kept = with_fixed_phases(vectors)[largest, range(4)]
    np.testing.assert_allclose(kept, np.abs(vectors).max(axis=0), atol=1e-12)
