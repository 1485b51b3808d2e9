import numpy as np
import pytest

from nilatron.core.prior.neighbours.planes import N_PLANES, Neighbour, neighbour_planes

NEAR, FAR = (Neighbour(np.full((3, 4), value, np.float32), mm) for value, mm in ((6.0, 3.0), (2.0, 9.0)))


def test_each_neighbour_has_its_magnitude_its_presence_and_its_distance():
    planes = neighbour_planes([NEAR, FAR], scale=2.0, noise=0.05, share=0.25)
    assert planes.shape == (N_PLANES, 3, 4)
    np.testing.assert_allclose(planes[:, 1, 2], [3.0, 1.0, 0.3, 1.0, 1.0, 0.9, 0.05, 0.25], rtol=1e-6)


def test_the_order_in_which_they_are_given_does_not_matter():
    twin = Neighbour(np.ones((3, 4), np.float32), NEAR.distance_mm)
    for one, other in ((NEAR, FAR), (NEAR, twin)):
        np.testing.assert_array_equal(
            neighbour_planes([one, other], 2.0, 0.1, 0.3), neighbour_planes([other, one], 2.0, 0.1, 0.3)
        )


def test_a_neighbour_that_is_absent_has_planes_of_zeros():
    planes = neighbour_planes([FAR], 2.0, 0.05, 0.25)
    assert planes[0].any()
    assert not planes[3:6].any()


@pytest.mark.parametrize("n", [0, 3])
def test_none_or_three_are_refused(n):
    with pytest.raises(ValueError, match=f"expected 1 to 2 neighbours, got {n}"):
        neighbour_planes([NEAR] * n, 1.0, 0.1, 0.3)


@pytest.mark.parametrize("distance", [0.0, -3.0, float("nan")])
def test_a_distance_that_no_two_slices_have_is_refused(distance):
    with pytest.raises(ValueError, match="a distance above 0"):
        Neighbour(NEAR.magnitude, distance)
