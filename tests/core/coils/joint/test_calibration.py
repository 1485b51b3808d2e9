from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from nilatron.core.backend import complex_normal, to_numpy, to_torch
from nilatron.core.coils.espirit import EspiritSettings, espirit_maps
from nilatron.core.coils.joint.calibration import BLOCK_THRESHOLD, JointSettings, joint_calibration
from nilatron.core.kspace import centre_block
from nilatron.core.phantom import coil_maps, phantom
from nilatron.core.sense import SenseOperator

SHAPE = (1, 96, 80)


def sampled(pattern, shape=SHAPE, n_coils=6, seed=0):
    """Full k-space with noise of variance 1, and counts of the lines of a pattern."""
    rng = np.random.default_rng(seed)
    maps = coil_maps(n_coils, shape)
    texture = gaussian_filter(rng.standard_normal(shape), 1.5)  # the centre of k-space holds many lines, not one
    truth = 100 * phantom(shape) * (1 + 2 * texture / texture.std())
    clean = SenseOperator(maps, np.ones(shape, np.float32)).forward(truth.astype(np.complex64))
    full = clean + complex_normal(rng, clean.shape, clean)
    counts = np.zeros(shape, np.float32)
    counts[:, pattern(shape[1], rng)] = 1
    return full, counts, maps


def every(acceleration, n_central):
    def lines(n, rng):
        del rng
        chosen = np.arange(n // 2 % acceleration, n, acceleration)
        return np.union1d(chosen, np.arange(n // 2 - n_central // 2, n // 2 + n_central // 2))

    return lines


def random_half(n, rng):
    return np.union1d(rng.choice(n, n // 2, replace=False), [n // 2])


def agreement(block, maps):
    """Smallest |<S, S_true>| inside the object, where 1 is the same map up to a phase per pixel."""
    inside = np.abs(phantom(SHAPE)) > 0.1
    found = espirit_maps(block, SHAPE, EspiritSettings(threshold=BLOCK_THRESHOLD))
    inner = np.sum(found.conj() * maps, axis=0) / np.sqrt(np.sum(np.abs(maps) ** 2, axis=0))
    return np.percentile(np.abs(inner)[inside], 2)


def error_of(block, full):
    truth = centre_block(full, block.shape[-1])
    return float(np.linalg.norm(block - truth) / np.linalg.norm(truth))


@pytest.mark.parametrize(
    "pattern", [every(2, 4), every(3, 8), every(4, 8), random_half], ids=["R2", "R3", "R4", "random"]
)
def test_missing_lines_are_found(pattern):
    full, counts, maps = sampled(pattern)
    found = joint_calibration(full * counts, counts)
    assert found.block.shape == (6, 1, 24, 24)
    assert agreement(found.block, maps) > 0.98 > agreement(centre_block(full * counts, 24), maps)


def test_acquired_samples_stay_as_they_are():
    full, counts, _ = sampled(every(2, 4))
    block, acquired = joint_calibration(full * counts, counts).block, centre_block(counts[None], 24)[0] > 0
    np.testing.assert_array_equal(block[:, acquired], centre_block(full, 24)[:, acquired])


def test_the_scale_of_data_and_counts_changes_nothing():
    full, counts, _ = sampled(every(3, 8))
    one = joint_calibration(full * counts, counts, 0.0).block
    other = joint_calibration(1000 * full * counts, 2 * counts, 0.0).block
    np.testing.assert_allclose(other, 1000 * one, rtol=1e-2, atol=1e-2 * float(np.abs(other).max()))


def test_torch_gives_what_numpy_gives():
    full, counts, _ = sampled(every(3, 8))
    expected = joint_calibration(full * counts, counts).block
    found = to_numpy(joint_calibration(to_torch(full * counts), counts).block)
    np.testing.assert_allclose(found, expected, atol=1e-2 * float(np.abs(expected).max()))


def test_volumes_and_small_matrices_fit():
    full, counts, _ = sampled(every(2, 4), (20, 32, 28), 4)
    found = joint_calibration(full * counts, counts, settings=JointSettings(n_steps=4))
    assert found.block.shape == (4, 20, 24, 24)
    assert np.isfinite(found.block).all()


def test_all_lines_give_themselves():
    full, counts, _ = sampled(every(1, 4))
    np.testing.assert_array_equal(joint_calibration(full, counts).block, centre_block(full, 24))


def test_readouts_that_end_early_are_no_readouts_throughout():
    full, counts, _ = sampled(every(3, 8))
    counts[..., :36] = 0
    found = joint_calibration(full * counts, counts).block
    assert error_of(found, full) < 0.7 * error_of(centre_block(full * counts, 24), full)


def test_nothing_gives_nothing():
    full, counts, _ = sampled(every(2, 4))
    found = joint_calibration(0 * full, counts)
    assert not found.block.any()
    assert found.unexplained == 0


def test_what_no_image_explains_is_told():
    full, counts, _ = sampled(every(2, 8))
    right = joint_calibration(full * counts, counts)
    full[:, :, 48] = 1j * full[:, :, 48]
    full[:3, :, 46] = 0
    wrong = joint_calibration(full * counts, counts)
    assert right.unexplained < 0.01 < wrong.unexplained


def test_where_aliases_cannot_be_told_apart_the_start_decides():
    full, counts, _ = sampled(every(2, 0))
    centred = JointSettings(n_steps=16)
    one, other = (
        joint_calibration(full * counts, counts, 0.0, s) for s in (centred, replace(centred, start_width=0.4))
    )
    assert max(one.unexplained, other.unexplained) < 0.1
    assert error_of(one.block, full) > 0.1 or error_of(other.block, full) > 0.1
