import numpy as np
import pytest

from nilatron.core.backend import complex_normal, to_numpy, to_torch
from nilatron.core.baselines.cg_sense import cg_sense
from nilatron.core.coils.espirit import espirit_maps, espirit_sets
from nilatron.core.fft import fft, ifft
from nilatron.core.phantom import coil_maps, phantom
from nilatron.core.recon import displayed, estimate_coil_maps, inverse_problem, measurement_of
from nilatron.core.sense import SenseOperator
from nilatron.core.sets import SetsOperator

SHAPE = (2, 12, 10)


def wrapped(n_coils=8, size=96, kept=64):
    """Coil images of a phantom whose field of view is too small for it along y, (coil, z, y, x)."""
    images = coil_maps(n_coils, (1, size, size)) * phantom((1, size, size)) * 5000
    folded = np.zeros((n_coils, 1, kept, size), complex)
    for y in range(size):
        folded[:, :, (y - size // 2 + kept // 2) % kept] += images[:, :, y]
    return folded.astype(np.complex64)


@pytest.fixture
def operator():
    rng = np.random.default_rng(0)
    maps = rng.standard_normal((2, 3, *SHAPE)) + 1j * rng.standard_normal((2, 3, *SHAPE))
    counts = rng.integers(0, 3, (SHAPE[0], SHAPE[1], 1)) * np.ones(SHAPE)
    return SetsOperator(maps, counts)


def random_pair(seed, batch=()):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((*batch, 4, 12, 10)) + 1j * rng.standard_normal((*batch, 4, 12, 10))
    return x, rng.standard_normal((*batch, 3, *SHAPE)) + 1j * rng.standard_normal((*batch, 3, *SHAPE))


@pytest.mark.parametrize("seed", range(3))
def test_adjoint_normal_and_norm(operator, seed):
    x, y = random_pair(seed)
    assert np.vdot(operator.forward(x), y) == pytest.approx(np.vdot(x, operator.adjoint(y)), rel=1e-10)
    normal = operator.adjoint(operator.forward(x))
    np.testing.assert_allclose(operator.normal(x), normal, rtol=1e-9, atol=1e-9)
    assert np.vdot(x, normal).real <= operator.norm_bound * np.vdot(x, x).real


def test_normal_without_varying_sampling(operator):
    full = SetsOperator(operator.coil_maps, np.ones(SHAPE))
    x, _ = random_pair(0)
    np.testing.assert_allclose(full.normal(x), full.adjoint(full.forward(x)), rtol=1e-9, atol=1e-9)


def test_a_batch_is_its_elements(operator):
    x, y = random_pair(1, (3,))
    for found, one, given in (
        (operator.forward(x), operator.forward, x),
        (operator.normal(x), operator.normal, x),
        (operator.adjoint(y), operator.adjoint, y),
        (operator.combined(x), operator.combined, x),
    ):
        np.testing.assert_allclose(found, np.stack([one(element) for element in given]))


def test_a_second_set_of_zeros_changes_nothing():
    maps = coil_maps(4, SHAPE)
    one = SenseOperator(maps, np.ones(SHAPE))
    two = SetsOperator(np.stack([maps, 0 * maps]), np.ones(SHAPE))
    x = random_pair(0)[0][:2]
    np.testing.assert_allclose(two.forward(np.concatenate([x, x])), one.forward(x))
    assert two.n_samples == one.n_samples
    assert not two.support[2:].any()


def test_images_of_another_size_are_refused(operator):
    with pytest.raises(ValueError, match="2 x 2 partitions"):
        operator.forward(np.zeros(SHAPE))
    with pytest.raises(ValueError, match=r"\(set, coil, z, y, x\)"):
        SetsOperator(np.zeros((3, *SHAPE)), np.zeros(SHAPE))


def test_combination_keeps_the_energy_of_each_pixel(operator):
    x, _ = random_pair(2)
    shown = displayed(operator, x)
    assert shown.shape == SHAPE
    np.testing.assert_allclose(np.abs(shown) ** 2, np.abs(x[:2]) ** 2 + np.abs(x[2:]) ** 2)
    strongest = np.where(np.abs(x[:2]) >= np.abs(x[2:]), x[:2], x[2:])
    np.testing.assert_allclose(np.angle(shown), np.angle(strongest))
    assert displayed(SenseOperator(operator.coil_maps[0], operator.counts), x[:2]) is not None


def test_torch_gives_what_numpy_gives(operator):
    x, y = random_pair(3)
    other = SetsOperator(to_torch(operator.coil_maps), to_torch(operator.counts))
    for name, given in (("forward", x), ("adjoint", y), ("normal", x), ("combined", x)):
        found = to_numpy(getattr(other, name)(to_torch(given)))
        np.testing.assert_allclose(found, getattr(operator, name)(given), rtol=1e-9, atol=1e-9)


def test_the_coarse_measurement_has_the_same_sets():
    maps = np.stack([coil_maps(4, (1, 96, 96))] * 2)
    operator = SetsOperator(maps, np.ones((1, 96, 96)))
    coarse, data = operator.coarse(np.zeros((4, 1, 96, 96), complex), (1, 56, 56))
    assert coarse.coil_maps.shape == (2, 4, 1, 56, 56)
    assert data.shape == (4, 1, 56, 56)


def test_an_object_that_wraps_needs_its_second_set():
    images = wrapped()
    kspace = fft(images)
    kspace = kspace + complex_normal(np.random.default_rng(0), kspace.shape, kspace)
    counts = np.zeros(kspace.shape[1:], np.float32)
    counts[:, ::2] = counts[:, 20:44] = 1
    block = kspace[:, :, 20:44]
    truth = np.sqrt(np.sum(np.abs(images) ** 2, axis=0))
    errors = {}
    for n_sets in (1, None):
        maps, _ = estimate_coil_maps(kspace * counts, counts, block, n_sets=n_sets)
        problem = inverse_problem(kspace * counts, counts, maps)
        errors[n_sets] = np.linalg.norm(np.abs(displayed(problem.operator, problem.conventional)) - truth)
    assert isinstance(problem.operator, SetsOperator)
    assert errors[None] < 0.5 * errors[1]


def test_the_sets_are_orthogonal_and_span_what_the_coils_saw():
    images = wrapped()
    maps = espirit_sets(fft(images)[:, :, 20:44], images.shape[1:])
    inner = np.sum(maps[0].conj() * maps[1], axis=0)
    assert maps.shape[0] == 2
    assert np.abs(inner).max() < 1e-3
    energies = np.sum(np.abs(maps) ** 2, axis=1)
    np.testing.assert_allclose(energies[energies > 0], 1, atol=1e-4)
    seen = np.sum(np.abs(np.sum(maps.conj() * images, axis=1)) ** 2)
    assert seen > 0.99 * np.sum(np.abs(images) ** 2)


def test_an_object_inside_its_field_of_view_has_one_set():
    kspace = fft((coil_maps(8, (1, 96, 96)) * phantom((1, 96, 96)) * 100).astype(np.complex64))[:, :, 36:60]
    found = espirit_sets(kspace, (1, 96, 96))
    assert found.shape[0] == 1
    np.testing.assert_array_equal(found[0], espirit_maps(kspace, (1, 96, 96)))
    assert isinstance(measurement_of(found[0], np.ones((1, 96, 96))), SenseOperator)


def test_cg_sense_of_all_data_is_the_folded_object():
    images = wrapped()
    operator = SetsOperator(
        espirit_sets(fft(images)[:, :, 20:44], images.shape[1:]), np.ones(images.shape[1:], np.float32)
    )
    found = operator.combined(cg_sense(operator, operator.data(fft(images)), sigma=1e-3))
    truth = np.sqrt(np.sum(np.abs(ifft(fft(images))) ** 2, axis=0))
    assert np.linalg.norm(np.abs(found) - truth) < 0.1 * np.linalg.norm(truth)
