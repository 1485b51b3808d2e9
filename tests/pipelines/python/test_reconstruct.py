"""nilatron.reconstruct: what a chain makes of the same data, from arrays of any library."""

import re

import h5py
import numpy as np
import pytest
import torch

import nilatron
from nilatron.core.metrics import foreground, psnr
from nilatron.gadgets.methods import METHODS
from nilatron.gadgets.settings import property_fields

QUICK = {"weights": "tiny", "steps": 3, "device": "cpu"}


def test_images_explain_the_data(scan):
    kspace, noise, truth = scan
    found = nilatron.reconstruct(kspace, noise=noise, **QUICK)
    assert found.image.shape == found.conventional.shape == (64, 48)
    assert found.image.dtype == np.complex64
    assert found.coil_maps.shape == kspace.shape
    assert found.uncertainty is None
    assert found.problems == found.notes == ()
    least = 1 - np.count_nonzero(found.coil_maps.any(axis=0)) / np.count_nonzero(
        kspace
    )  # of any image of so few pixels
    assert least < found.chi2 < 1.05
    assert found.sigma == pytest.approx(np.sqrt(np.mean(np.diagonal(noise).real)), rel=1e-5)
    mask = foreground(truth)
    assert psnr(np.abs(found.image), truth, mask) > psnr(np.abs(found.conventional), truth, mask)
    assert found.provenance["noise_source"] == "given"
    assert found.provenance["sampler"] == "nila_fast"


def test_torch_in_torch_out(scan):
    kspace, noise, _ = scan
    expected = nilatron.reconstruct(kspace, noise=noise, **QUICK)
    found = nilatron.reconstruct(torch.from_numpy(kspace), noise=torch.from_numpy(noise), **QUICK)
    for one, other in ((found.image, expected.image), (found.coil_maps, expected.coil_maps)):
        assert isinstance(one, torch.Tensor)
        np.testing.assert_array_equal(one.numpy(), other)


def test_two_sets_of_maps_come_back_and_make_one_image(scan):
    kspace, noise, _ = scan
    one = nilatron.reconstruct(kspace, noise=noise, method="cg_sense")
    two = nilatron.reconstruct(kspace, noise=noise, method="cg_sense", map_sets="2")
    assert two.coil_maps.shape == (2, *kspace.shape)
    assert two.image.shape == one.image.shape
    assert two.provenance["map_sets"] == "2"
    inside = one.coil_maps.any(axis=0)  # two sets keep pixels of lower eigenvalues as well
    np.testing.assert_array_equal(two.coil_maps[0][:, inside], one.coil_maps[:, inside])
    assert two.coil_maps[0].any(axis=0)[inside].all()
    batch = np.stack([kspace, kspace])[:, :, None]
    assert nilatron.reconstruct(batch, noise=noise, method="cg_sense", map_sets="2").coil_maps.shape[:2] == (2, 2)


@pytest.mark.gpu
def test_a_tensor_on_a_gpu_comes_back_there(scan):
    kspace, noise, _ = scan
    found = nilatron.reconstruct(torch.from_numpy(kspace).cuda(), noise=noise, weights="tiny", steps=3)
    assert found.image.is_cuda
    assert found.provenance["device"] == "cuda"
    expected = nilatron.reconstruct(kspace, noise=noise, **QUICK).image
    assert np.linalg.norm(found.image.cpu().numpy() - expected) < 0.02 * np.linalg.norm(expected)


def test_a_batch_is_its_entries(scan):
    kspace, noise, _ = scan
    batch = np.stack([kspace, 2 * kspace])[:, :, None]
    found = nilatron.reconstruct(batch, noise=noise, method="cg_sense")
    assert found.image.shape == (2, 1, 64, 48)
    assert found.chi2.shape == found.sigma.shape == (2,)
    for entry, one in zip(found.entries, batch, strict=True):
        alone = nilatron.reconstruct(one, noise=noise, method="cg_sense")
        np.testing.assert_allclose(entry.image, alone.image, rtol=1e-4, atol=1e-4)
        assert entry.chi2 == alone.chi2
    assert "chi2" not in found.provenance
    assert found.provenance["target"] == "cg_sense"


def test_uncertainty_is_real_and_where_the_object_is(scan):
    kspace, noise, _ = scan
    found = nilatron.reconstruct(kspace, noise=noise, uncertainty=True, samples=2, sample_steps=3, **QUICK)
    assert found.uncertainty.shape == (64, 48)
    assert found.uncertainty.dtype == np.float32
    assert found.uncertainty.max() > 0


def test_without_noise_it_is_measured(scan):
    kspace, noise, _ = scan
    found = nilatron.reconstruct(kspace, method="cg_sense")
    assert found.provenance["noise_source"] == "data"
    assert found.sigma == pytest.approx(np.sqrt(np.mean(np.diagonal(noise).real)), rel=0.2)
    assert any("no noise scan" in note for note in found.notes)


def test_noise_that_contradicts_the_data_is_not_believed(scan):
    kspace, noise, _ = scan
    found = nilatron.reconstruct(kspace, noise=noise * 100, method="cg_sense")
    assert found.sigma == pytest.approx(np.sqrt(np.mean(np.diagonal(noise).real)), rel=0.2)
    assert any("noise level: given says 1" in note for note in found.notes)


def test_the_provenance_of_a_batch_is_what_its_slices_share_in_their_order(scan):
    kspace, noise, _ = scan
    one = nilatron.reconstruct(kspace, noise=noise, method="cg_sense")
    both = nilatron.reconstruct(np.stack([kspace[:, None], 2 * kspace[:, None]]), noise=noise, method="cg_sense")
    assert list(both.provenance) == [key for key in one.provenance if key in both.provenance]
    assert "chi2" not in both.provenance
    assert both.provenance["target"] == "cg_sense"


def test_own_maps_in_any_scale_are_those_of_the_estimate(scan):
    kspace, noise, _ = scan
    whitening = np.linalg.inv(np.linalg.cholesky(noise))
    first = nilatron.reconstruct(kspace, noise=noise, method="cg_sense")
    maps = 3 * np.einsum("cd,dyx->cyx", np.linalg.inv(whitening), first.coil_maps)
    again = nilatron.reconstruct(kspace, noise=noise, coil_maps=maps, method="cg_sense")
    np.testing.assert_allclose(again.coil_maps, first.coil_maps, atol=1e-4)
    np.testing.assert_allclose(again.image, first.image, atol=1e-3 * np.abs(first.image).max())


def test_own_maps_of_compressed_coils(scan):
    kspace, noise, _ = scan
    whitening = np.linalg.inv(np.linalg.cholesky(noise))
    maps = np.einsum(
        "cd,dyx->cyx", np.linalg.inv(whitening), nilatron.reconstruct(kspace, noise=noise, **QUICK).coil_maps
    )
    found = nilatron.reconstruct(kspace, noise=noise, coil_maps=maps, virtual_coils=3, method="cg_sense")
    assert found.coil_maps.shape == (3, 64, 48)
    norm = np.sum(np.abs(found.coil_maps) ** 2, axis=0)
    np.testing.assert_allclose(norm[norm > 0], 1, rtol=1e-4)


def test_calibration_and_counts_that_are_given_are_used(scan):
    kspace, noise, _ = scan
    full = nilatron.reconstruct(kspace, noise=noise, method="cg_sense")
    block = kspace[:, 24:40, 16:32]
    undersampled = kspace.copy()
    undersampled[:, 1::2] = 0
    found = nilatron.reconstruct(undersampled, noise=noise, calibration=block, method="cg_sense")
    overlap = np.abs(np.sum(found.coil_maps.conj() * full.coil_maps, axis=0))
    both = found.coil_maps.any(axis=0) & full.coil_maps.any(axis=0)
    assert overlap[both].min() > 0.95
    assert np.count_nonzero(both) > 500
    counts = (kspace != 0).any(axis=0) * 4.0
    averaged = nilatron.reconstruct(kspace, noise=4 * noise, counts=counts, method="cg_sense")
    np.testing.assert_allclose(np.abs(averaged.image), np.abs(full.image) / 2, atol=0.02 * np.abs(full.image).max())


def test_samples_that_counts_call_not_acquired_are_not_used(scan):
    kspace, noise, _ = scan
    counts = (kspace != 0).any(axis=0).astype(float)
    spoilt = kspace.copy()
    spoilt[:, 1, :], counts[1, :] = 1e3, 0
    expected = nilatron.reconstruct(kspace, noise=noise, method="cg_sense")
    found = nilatron.reconstruct(spoilt, noise=noise, counts=counts, method="cg_sense")
    np.testing.assert_array_equal(found.image, expected.image)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_method_and_property_can_be_asked_for(scan, method):
    kspace, noise, _ = scan
    fields = property_fields(METHODS[method].settings_class)
    few = {"steps": 2, "iterations": 2}
    found = nilatron.reconstruct(
        kspace,
        noise=noise,
        method=method,
        weights="tiny",
        device="cpu",
        **{k: v for k, v in few.items() if k in fields},
    )
    assert np.isfinite(found.image).all()
    assert found.provenance["target"] == method


def test_a_target_that_fails_is_told(scan):
    kspace, noise, _ = scan
    found = nilatron.reconstruct(kspace, noise=noise, slice_budget_s=1e-9, **QUICK)
    assert "fallback" in found.provenance
    assert len(found.problems) == 1
    np.testing.assert_array_equal(found.image, found.conventional)


def test_a_dc_that_is_not_in_the_middle_is_moved_and_told(scan):
    kspace, noise, _ = scan
    shifted = np.roll(kspace, 12, axis=1) * (np.arange(64) >= 12)[:, None]
    found = nilatron.reconstruct(shifted, noise=noise, method="cg_sense")
    assert any("centre of k-space is away" in note for note in found.notes)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"method": "nil"}, "unknown target 'nil': choose from"),
        ({"stepz": 3}, "nila has no property 'stepz'"),
        ({"pixel_type": "uint16"}, "nila has no property 'pixel_type'"),
        ({"steps": 0}, "steps must be from 1 to 1000"),
        ({"method": "cg_sense", "uncertainty": True}, "method cg_sense has no uncertainty"),
        ({"weights": "none.safetensors"}, "no weights file at none.safetensors"),
        ({"device": "tpu"}, "device must be auto, cpu or cuda"),
        ({"coil_maps": np.ones((4, 3, 2))}, "expected coil_maps (coil, y, x)"),
    ],
)
def test_what_cannot_be_done_is_said(scan, words, said):
    kspace, noise, _ = scan
    with pytest.raises(ValueError, match=re.escape(said)):
        nilatron.reconstruct(kspace, **{"noise": noise, **words})


@pytest.mark.slow
@pytest.mark.shared
def test_a_real_brain_is_that_of_a_replay(real):
    lines = real("raw/brain_8ch_R4.h5")
    with h5py.File(real("kspace/brain_t1_8ch_espirit_full.h5")) as file:
        full, noise = file["kspace"][()], file["noise_cov_est"][()]
    replayed = nilatron.replay(lines, device="cpu").pixels()[0, 0]
    acquired = nilatron.read_raw(lines).slices[0].counts[0] > 0

    image = nilatron.reconstruct(full * acquired, noise=noise, device="cpu").image

    # the noise covariance of the arrays is not quite that of the noise lines, so each has the full scan whitened like itself
    reference = np.abs(nilatron.reconstruct(full, noise=noise, method="cg_sense").image)
    reference_of_replay = nilatron.replay(real("raw/brain_8ch_full.h5"), "cg_sense").pixels()[0, 0]
    found = psnr(np.abs(image), reference, foreground(reference))
    expected = psnr(replayed, reference_of_replay, foreground(reference_of_replay))
    assert found == pytest.approx(expected, abs=0.1)
    assert found > 38
