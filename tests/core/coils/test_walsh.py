import numpy as np
import pytest
import torch

from nilatron.core.coils.walsh import WalshSettings, walsh_maps

RNG = np.random.default_rng(0)


def scene(shape=(1, 64, 49), n_coils=4):
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) if n > 1 else np.zeros(1) for n in shape), indexing="ij")
    image = 100 * ((x**2 + y**2 + z**2) < 0.5) * np.exp(1j * np.sin(3 * y))
    angles = 2 * np.pi * np.arange(n_coils) / n_coils
    maps = np.stack([np.exp(-((x - np.cos(a)) ** 2 + (y - np.sin(a)) ** 2) / 2 + 1j * a) for a in angles])
    maps = maps / np.linalg.norm(maps, axis=0)
    noise = RNG.standard_normal(maps.shape) + 1j * RNG.standard_normal(maps.shape)
    return image, maps, (maps * image + noise / np.sqrt(2)).astype(np.complex64)


@pytest.mark.parametrize(("shape", "limit"), [((1, 64, 49), 0.06), ((9, 24, 20), 0.08)])
def test_recovers_smooth_maps(shape, limit):
    image, maps, coil_images = scene(shape)
    found = walsh_maps(coil_images)
    inside = np.abs(image) > 0
    phase = np.exp(1j * np.angle(np.sum(np.conj(found) * maps, axis=0)))
    error = np.sqrt(np.mean(np.sum(np.abs(found * phase - maps) ** 2, axis=0)[inside]))
    assert error < limit
    norm = np.sum(np.abs(found) ** 2, axis=0)
    np.testing.assert_allclose(norm[norm > 0], 1, atol=1e-5)
    assert norm[inside].min() > 0.99


def test_support_ends_outside_the_object_and_phase_is_the_virtual_coils():
    _, _, coil_images = scene()
    found = walsh_maps(coil_images, WalshSettings(support_fraction=0.1))
    assert not found[:, 0, 0, 0].any()
    principal = np.linalg.svd(coil_images.reshape(4, -1), full_matrices=False)[0][:, 0]
    reference = np.einsum("c,czyx->zyx", principal.conj(), found)[np.any(found != 0, axis=0)]
    assert np.ptp(np.angle(reference * np.conj(reference.sum()))) < 1e-2


@pytest.mark.parametrize(("fraction", "n_inside"), [(0.06, 2), (0.04, 3), (0.19, 2), (0.21, 1)])
def test_the_support_is_where_the_signal_is_the_fraction_of_its_largest(fraction, n_inside):
    amplitudes = np.repeat([1, 0.2, 0.05], 4)
    coil_images = np.stack([amplitudes, 2j * amplitudes])[:, None, None]
    found = walsh_maps(coil_images, WalshSettings(window=1, support_fraction=fraction))
    np.testing.assert_array_equal(found[0, 0, 0] != 0, np.arange(12) < 4 * n_inside)


def test_torch_and_small_slabs_agree():
    _, _, coil_images = scene()
    expected = walsh_maps(coil_images)
    np.testing.assert_allclose(walsh_maps(torch.from_numpy(coil_images)).numpy(), expected, atol=1e-4)
    np.testing.assert_allclose(walsh_maps(coil_images, WalshSettings(slab_bytes=1)), expected, atol=1e-4)


def test_degenerate_images():
    _, _, coil_images = scene()
    np.testing.assert_array_equal(walsh_maps(coil_images[:1]), 1)
    np.testing.assert_array_equal(walsh_maps(0 * coil_images), 0)
    with pytest.raises(ValueError, match="finite coil images"):
        walsh_maps(coil_images[0])
    with pytest.raises(ValueError, match="odd number"):
        WalshSettings(window=4)
