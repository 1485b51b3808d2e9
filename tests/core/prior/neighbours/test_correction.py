from dataclasses import replace

import numpy as np
import pytest
import torch

from nilatron.core.phantom import coil_maps, phantom
from nilatron.core.prior.neighbours.correction import LAST_SIGMA, InformedByNeighbours
from nilatron.core.prior.neighbours.head import NeighbourHead
from nilatron.core.prior.neighbours.planes import Neighbour, neighbour_planes
from nilatron.core.prior.prior import Estimate
from nilatron.core.recon import inverse_problem
from nilatron.core.sampling.image import ImageSettings, sample_images

SHAPE = (1, 72, 80)
LEVELS = (0.4, 0.2, 0.1, 0.03)
SETTINGS = ImageSettings(steps=4)


@pytest.fixture(scope="module")
def problem():
    maps = coil_maps(3, SHAPE)
    counts = np.zeros(SHAPE, np.float32)
    counts[:, ::2] = counts[:, 30:42] = 1
    kspace = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(maps * phantom(SHAPE), axes=(-2, -1)), norm="ortho"))
    return inverse_problem((50 * kspace * counts).astype(np.complex64), counts, maps)


def shrunk(x, sigma, previous):
    del previous
    return Estimate(x / (1 + sigma**2))


@pytest.fixture(scope="module")
def result(problem):
    return sample_images(
        shrunk, problem.operator, problem.data, LEVELS, SETTINGS, start=problem.conventional[None],
        sigma=problem.noise_level, scale=problem.scale, generator=np.random.default_rng(0),
    )  # fmt: skip


@pytest.fixture(scope="module")
def planes(problem):
    neighbour = Neighbour(np.abs(problem.conventional[0]).astype(np.float32), 3.0)
    return neighbour_planes([neighbour], problem.scale, 0.05, 0.5)[None]


def test_a_head_that_says_nothing_leaves_the_image_as_it_is_to_the_last_bit(problem, result, planes):
    found = InformedByNeighbours(NeighbourHead().eval(), planes).corrected(result, problem.scale, 0.02)
    assert found.images.tobytes() == result.image.tobytes()
    np.testing.assert_array_equal(found.change, 0)


def test_what_the_head_says_is_added_to_the_magnitude(problem, result, planes):
    head = NeighbourHead().eval()
    torch.nn.init.constant_(head.last.bias, 0.5)
    found = InformedByNeighbours(head, planes).corrected(result, problem.scale, 0.02)
    assert (found.images.shape, found.images.dtype) == (result.image.shape, np.complex64)
    assert (found.change.shape, found.change.dtype) == ((1, *SHAPE), np.float32)
    bright = np.abs(result.image) > 0.3 * problem.scale
    np.testing.assert_allclose(found.change[bright], 0.05 * problem.scale, rtol=1e-5)
    added = np.abs(found.images) - np.abs(result.image)
    np.testing.assert_allclose(added[bright], 0.05 * problem.scale, rtol=1e-3)
    turned = found.images[bright] * result.image[bright].conj()
    np.testing.assert_allclose(turned.imag, 0, atol=1e-5 * np.abs(turned).max())


def test_after_another_last_step_than_it_was_trained_on_nothing_is_said(problem, result, planes):
    informed = InformedByNeighbours(NeighbourHead().eval(), planes)
    assert informed.corrected(result, problem.scale, 1.01 * LAST_SIGMA) is None
    assert informed.corrected(replace(result, last_input=None), problem.scale, 0.02) is None


def test_the_head_sees_the_upright_image_beside_its_neighbours_then_both_mirrored(problem, result, planes):
    seen = []

    class Watched(NeighbourHead):
        def forward(self, inputs):
            seen.append(inputs)
            return super().forward(inputs)

    InformedByNeighbours(Watched().eval(), planes).corrected(result, problem.scale, 0.02)
    inputs, mirrored = seen
    assert inputs.shape[-2:] == SHAPE[-2:]
    np.testing.assert_array_equal(mirrored.flip(-2), inputs)
    # whatever view of the image the denoiser is shown
    assert np.corrcoef(inputs[0, 0].flatten(), inputs[0, 4].flatten())[0, 1] > 0.8


def test_the_map_grows_where_an_image_and_its_neighbour_disagree(problem, planes):
    informed = InformedByNeighbours(NeighbourHead(), planes)
    image = problem.conventional[None] / problem.scale
    same = informed.widening(image)
    assert (same.shape, same.dtype) == ((1, *SHAPE), np.float32)
    np.testing.assert_array_equal(same, 1)
    marked = image.copy()
    marked[..., 30:37, 40:47] *= 3
    found = informed.widening(marked)
    assert found[..., 31:36, 41:46].mean() > 1.2
    np.testing.assert_array_equal(found[..., :20, :], 1)
