"""Priors and samplers as blocks: they give what the chain gives, from arrays of any library."""

import numpy as np
import pytest
import torch

import nilatron
from nilatron.core.metrics import foreground, psnr


@pytest.fixture(scope="module")
def blocks(scan):
    """Operator and data of whitened k-space, and its image by `nilatron.reconstruct`."""
    kspace, noise, truth = scan
    found = nilatron.reconstruct(kspace, noise=noise, weights="tiny", device="cpu")
    white = np.einsum("cd,dyx->cyx", np.linalg.inv(np.linalg.cholesky(noise)), kspace)[:, None].astype(np.complex64)
    counts = (white != 0).any(axis=0).astype(np.float32)
    operator = nilatron.SenseOperator(found.coil_maps[:, None], counts)
    return operator, operator.data(white), found, truth


def test_a_sampled_image_is_that_of_the_chain(blocks):
    operator, data, found, truth = blocks
    image = nilatron.sample_images(nilatron.load_prior("tiny", device="cpu"), operator, data)
    mask = foreground(truth)
    own, chain = (psnr(np.abs(one).reshape(truth.shape), truth, mask) for one in (image, found.image))
    assert own == pytest.approx(chain, abs=0.1)  # another seed of the start
    again = nilatron.sample_images(nilatron.load_prior("tiny", device="cpu"), operator, data)
    np.testing.assert_array_equal(image, again)


def test_steps_are_a_property(blocks):
    operator, data, _, _ = blocks
    levels = []

    def denoiser(x, sigma):
        levels.append(sigma)
        return x / (1 + sigma**2)

    image = nilatron.sample_images(denoiser, operator, data, steps=5)
    assert len(levels) == 5
    assert image.shape == (1, 64, 48)
    with pytest.raises(nilatron.BadInputError, match="no property 'stepz'"):
        nilatron.sample_images(denoiser, operator, data, stepz=5)


def test_torch_in_torch_out(blocks):
    operator, data, _, _ = blocks
    prior = nilatron.load_prior(
        "tiny", device="cpu", precision="fp32"
    )  # some CPUs would take bf16, whose rounding shows
    tensors = nilatron.SenseOperator(torch.from_numpy(operator.coil_maps), torch.from_numpy(operator.counts))
    expected = nilatron.sample_images(prior, operator, data)
    found = nilatron.sample_images(prior, tensors, torch.from_numpy(data))
    assert isinstance(found, torch.Tensor)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-3 * np.abs(expected).max())


@pytest.mark.parametrize("library", [np.asarray, torch.as_tensor])
@pytest.mark.parametrize("shape", [(64, 48), (2, 64, 48), (2, 1, 30, 50)])
def test_a_prior_denoises_arrays_of_any_library(scan, library, shape):
    rng = np.random.default_rng(0)
    clean = np.resize(scan[2] / np.percentile(scan[2], 99.5), shape)
    noise = (rng.standard_normal((*shape, 2)) @ np.array([1, 1j])) * 0.1 * np.sqrt(0.5)
    prior = nilatron.load_prior("tiny", device="cpu")
    noisy = library((clean + noise).astype(np.complex64))
    found = prior(noisy, 0.1)
    assert isinstance(found, type(noisy))
    assert found.shape == shape
    assert np.linalg.norm(np.asarray(found) - clean) < 0.8 * np.linalg.norm(noise)
    assert len(prior.sha256) == 64


def test_where_the_prior_says_little_samples_have_the_variance_of_the_noise(toy_prior, toy_measurement):
    operator, rng = toy_measurement((1, 24, 20)), np.random.default_rng(5)
    operator.mask[:] = 1
    truth = 10 * (rng.standard_normal((1, 24, 20, 2)) @ np.array([1, 1j])).astype(np.complex64)
    noise = (rng.standard_normal((3, 1, 24, 20, 2)) @ np.array([1, 1j])) * np.sqrt(0.5)
    found = nilatron.sample_posterior(
        toy_prior, operator, operator.forward(truth) + noise.astype(np.complex64), samples=64
    )
    assert np.sqrt(np.mean(found.standard_deviation**2)) == pytest.approx(1, rel=0.1)
    assert np.sqrt(np.mean(np.abs(found.mean - truth) ** 2)) == pytest.approx(1, rel=0.1)


def test_what_cannot_be_loaded():
    with pytest.raises(nilatron.BadInputError, match="no weights file at nil"):
        nilatron.load_prior("nil")
    with pytest.raises(ValueError, match="engine must be one of"):
        nilatron.load_prior(engine="abacus")
