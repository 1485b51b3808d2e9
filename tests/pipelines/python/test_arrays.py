import re

import numpy as np
import pytest
import torch

from nilatron.pipelines.python import arrays

K = np.zeros((4, 12, 10), np.complex64)


@pytest.mark.parametrize(
    ("kspace", "said"),
    [
        (K[0, 0], "expected kspace with axes (coil, y, x), (coil, z, y, x), (batch, coil, z, y, x), got 1 axes"),
        (K[None, None, None], "got 6 axes, shape (1, 1, 1, 4, 12, 10)"),
        (K.real, "expected complex kspace (coil, y, x), got float32"),
        (K[:0], "kspace (coil, y, x) = (0, 12, 10) is empty"),
        (np.zeros((130, 130, 8), np.complex64), "would have 130 coils: move the axis of the coils in front"),
        (np.zeros((64, 64, 8), np.complex64), "would have 64 coils"),
        ("kspace", "holds no numbers"),
    ],
)
def test_kspace_that_is_none_is_refused_by_its_axes(kspace, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        arrays.kspace_slices(kspace)


@pytest.mark.parametrize("shape", [(4, 12, 10), (4, 6, 12, 10), (3, 4, 6, 12, 10)])
@pytest.mark.parametrize("library", [np.asarray, torch.as_tensor])
def test_a_result_has_the_axes_and_the_library_of_the_kspace(shape, library):
    rng = np.random.default_rng(0)
    kspace = library(rng.standard_normal(shape) + 0j)
    slices = arrays.kspace_slices(kspace)
    assert {one.ndim for one in slices} == {4}
    assert {one.dtype for one in slices} == {np.dtype(np.complex64)}
    back = arrays.like(np.stack(slices), kspace)
    assert isinstance(back, type(kspace))
    np.testing.assert_allclose(np.asarray(back), np.asarray(kspace), rtol=1e-6)


@pytest.mark.parametrize("shape", [(4, 12, 10), (4, 6, 12, 10), (3, 4, 6, 12, 10)])
def test_zeros_count_as_not_acquired(shape):
    kspace = np.ones(shape, np.complex64)
    kspace[..., 5, :] = 0
    kspace[..., 2, 3] = 0
    kspace[0, ..., 2, 4] = 0  # in one coil, or one slice, only
    slices = arrays.kspace_slices(kspace)
    found = arrays.counts_slices(None, kspace, slices)
    for one, counts in zip(slices, found, strict=True):
        np.testing.assert_array_equal(counts, (one != 0).any(axis=0))
    without_coils = np.delete(np.array(shape), -3 if len(shape) == 3 else -4)
    given = np.arange(np.prod(without_coils)).reshape(without_coils)
    again = arrays.counts_slices(given, kspace, slices)
    np.testing.assert_array_equal(np.stack(again).ravel(), given.ravel())
    assert [one.shape for one in again] == [one.shape for one in found]


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        (np.ones(12), "expected counts (y, x) = (12, 10) for kspace (coil, y, x) = (4, 12, 10), got (12,)"),
        (np.full((12, 10), -1), "not negative"),
        (np.full((12, 10), np.nan), "finite"),
        (np.ones((12, 10), complex), "real"),
    ],
)
def test_counts_that_do_not_fit(counts, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        arrays.counts_slices(counts, K, arrays.kspace_slices(K))


@pytest.mark.parametrize("shape", [(3, 12, 10), (4, 13, 10), (4, 1, 12, 10), (4, 12)])
def test_calibration_that_does_not_fit(shape):
    with pytest.raises(ValueError, match=re.escape("expected calibration (coil, y, x), a fully sampled block around")):
        arrays.calibration_slices(np.ones(shape), K, 1)


def test_maps_that_do_not_fit():
    with pytest.raises(
        ValueError, match=re.escape("expected coil_maps (coil, y, x) of the shape of kspace, (4, 12, 10)")
    ):
        arrays.map_slices(np.ones((4, 10, 12)), K, 1)


def test_noise_samples_and_their_covariance_are_the_same():
    rng = np.random.default_rng(1)
    samples = rng.standard_normal((4, 30, 40)) + 1j * rng.standard_normal((4, 30, 40))
    flat = samples.reshape(4, -1)
    covariance = flat @ flat.conj().T / (flat.shape[1] - 1)
    found = [arrays.noise_covariance_of(one, 4) for one in (samples, covariance)]
    np.testing.assert_allclose(found[0].covariance, found[1].covariance, rtol=1e-12)
    assert arrays.rms(found[0]) == pytest.approx(np.sqrt(2), rel=0.05)


@pytest.mark.parametrize(
    ("noise", "said"),
    [
        (np.eye(3), "expected noise as a covariance (coil, coil) = (4, 4) or as samples (coil, sample), got (3, 3)"),
        (np.triu(np.ones((4, 4))), "not Hermitian"),
        (np.full((4, 4), np.nan), "not finite"),
        (np.ones((4, 5)), "has only 5 samples"),
        (np.eye(4, 400), "kurtosis"),
    ],
)
def test_noise_that_is_none(noise, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        arrays.noise_covariance_of(noise, 4)
