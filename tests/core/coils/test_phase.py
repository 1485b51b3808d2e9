import numpy as np
import pytest

from nilatron.core.backend import to_torch
from nilatron.core.coils.espirit import espirit_maps
from nilatron.core.coils.phase import better_reference, n_vortices, referenced
from nilatron.core.fft import fft
from nilatron.core.phantom import coil_maps

N = 96
Y, X = np.meshgrid(np.linspace(-1, 1, N), np.linspace(-1, 1, N), indexing="ij")
OBJECT = ((Y / 0.8) ** 2 + (X / 0.7) ** 2 < 1)[None]


def vanishing_coil(n_coils=4):
    """Maps whose strongest coil vanishes inside the object."""
    maps = np.stack([2 * ((X - 0.1) + 1j * (Y - 0.05)), 0.6 + 0.2 * X, 0.5 - 0.2j * Y, 0.3 * np.exp(1j * X)])[:, None]
    maps = maps[:n_coils] / np.sqrt(np.sum(np.abs(maps[:n_coils]) ** 2, axis=0))
    return (maps * OBJECT).astype(np.complex64)


def test_a_reference_that_vanishes_makes_one_vortex_and_another_makes_none():
    maps = vanishing_coil()
    first = np.eye(4, dtype=np.complex64)[0]
    assert n_vortices(maps) == 0
    assert n_vortices(referenced(maps, first)) == 1
    better = better_reference(referenced(maps, first))
    assert better is not None
    assert n_vortices(referenced(maps, better)) == 0


def test_maps_without_vortices_keep_their_reference():
    assert better_reference(coil_maps(6, (1, 64, 64)).astype(np.complex64)) is None


def test_only_the_phase_changes_and_the_reference_is_positive():
    maps, weights = vanishing_coil(), np.array([0.5, 0.5j, -0.5, 0.5], np.complex64)
    turned = referenced(maps, weights)
    np.testing.assert_allclose(np.abs(turned), np.abs(maps), atol=1e-6)
    reference = np.tensordot(weights.conj(), turned, axes=1)
    assert np.abs(reference.imag).max() < 1e-6
    assert reference.real.min() > -1e-6


@pytest.mark.parametrize("convert", [np.asarray, to_torch])
def test_espirit_maps_of_a_coil_that_vanishes_are_smooth(convert):
    truth = vanishing_coil()
    kspace = 100 * fft(truth)
    maps = np.asarray(espirit_maps(convert(kspace[:, :, 36:60, 32:64]), (1, N, N)))
    inside = OBJECT & np.roll(OBJECT, 3, axis=1) & np.roll(OBJECT, -3, axis=1) & np.roll(OBJECT, 3, axis=2)
    inside &= np.roll(OBJECT, -3, axis=2)
    assert n_vortices(maps * inside) == 0
    assert np.percentile(np.abs(np.sum(maps.conj() * truth, axis=0))[inside], 2) > 0.97


def test_vortices_are_counted_in_all_planes():
    line = np.exp(1j * np.arctan2(Y - 0.01, X - 0.01))[:, None, :]  # around the second axis of the volume
    volume = np.broadcast_to(line, (N, 3, N))[None].astype(np.complex64)
    assert n_vortices(volume) == 3
