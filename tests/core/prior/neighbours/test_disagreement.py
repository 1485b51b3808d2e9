import numpy as np
import pytest
import torch

from nilatron.core.phantom import phantom
from nilatron.core.prior.lesions import lesion
from nilatron.core.prior.neighbours.disagreement import PATCH, REACH, widening
from nilatron.core.prior.neighbours.planes import Neighbour, neighbour_planes

PLACE = (30, 38)
INSIDE = lesion((64, 72), PLACE, 7.0, 0.5) > 0.5
FAR = lesion((64, 72), PLACE, 7.0 + 2 * (2 * REACH + PATCH), 0.5) < 0.01


@pytest.fixture(scope="module")
def image():
    """Head of image scale 1 with structure everywhere."""
    texture = torch.randn(64, 72, generator=torch.Generator().manual_seed(0))
    return torch.from_numpy(np.abs(phantom((1, 64, 72))[0])).float() + 0.02 * texture.abs()


def with_lesion(image, contrast=0.5):
    return image + contrast * image[PLACE] * lesion(image.shape, PLACE, 7.0, 0.5)


def growth(image, *neighbours, distance_mm=3.0):
    planes = neighbour_planes([Neighbour(one, distance_mm) for one in neighbours], 1.0, 0.05, 0.3)
    return widening(image[None], planes[None])[0]


def test_neighbours_that_show_the_same_leave_the_map_as_it_is(image):
    assert torch.equal(growth(image, image, image), torch.ones(64, 72))
    assert torch.equal(growth(with_lesion(image), with_lesion(image)), torch.ones(64, 72))


@pytest.mark.parametrize("contrast", [0.5, -0.5])
@pytest.mark.parametrize("n_neighbours", [1, 2])
def test_the_map_grows_inside_a_lesion_that_only_the_neighbours_have_and_not_far_from_it(image, n_neighbours, contrast):
    found = growth(image, *[with_lesion(image, contrast)] * n_neighbours)
    assert found[INSIDE].mean() > 1.2
    assert torch.equal(found[FAR], torch.ones(int(FAR.sum())))


def test_a_lesion_that_only_this_slice_has_counts_as_one_that_only_the_neighbour_has(image):
    assert torch.equal(growth(with_lesion(image), image), growth(image, with_lesion(image)))


def test_the_stronger_the_lesion_the_more_the_map_grows(image):
    found = [float(growth(image, with_lesion(image, contrast))[INSIDE].mean()) for contrast in (0.25, 0.5, 0.75, 1.0)]
    assert found == sorted(found)
    assert found[-1] > found[0]


def test_one_of_two_neighbours_that_disagrees_counts_half(image):
    marked = with_lesion(image)
    one, both = growth(image, marked, image), growth(image, marked, marked)
    assert torch.allclose(one.square() - 1, (both.square() - 1) / 2, atol=1e-5)


def test_an_absent_neighbour_has_no_part(image):
    marked = with_lesion(image)
    assert torch.allclose(growth(image, marked), growth(image, marked, marked), atol=1e-6)


def test_what_moved_by_a_pixel_is_found_again(image):
    inner = (slice(8, -8), slice(8, -8))
    moved = growth(image, image.roll((REACH, -REACH), (-2, -1)))[inner]
    assert torch.equal(moved, torch.ones_like(moved))
    assert growth(image, image.roll(6, -1))[inner].max() > 1.2


def test_another_object_lets_the_map_grow_over_the_whole_object(image):
    seen = image > 0.2
    assert growth(image, image.flip(0).roll(9, 1))[seen].mean() > 1.2


def test_of_slices_far_away_more_is_taken_for_anatomy_and_of_near_ones_no_less(image):
    marked = with_lesion(image)
    near, usual, far = (growth(image, marked, distance_mm=mm)[INSIDE].mean() for mm in (1.0, 3.0, 9.0))
    assert near == usual > far
