import pytest
import torch

from nilatron.core.prior.volumes import NeighbourSettings, Place, Volumes

SETTINGS = NeighbourSettings(slices=3, spacing_mm=(3.0, 3.0))


def volumes(settings=SETTINGS):
    """Two volumes of unlike sizes; slice n of the first has the value n + 1 before scaling, in an order that is not that."""
    order = [3, 0, 4, 1, 2]
    images = [torch.ones(8, 8) for _ in order] + [torch.ones(6, 8)]
    places = [Place(0, 10 + 2 * n, float(n + 1)) for n in order] + [Place(1, 0, 1.0)]
    return Volumes(images, places, settings)


def drawn(source, n=200):
    generator = torch.Generator().manual_seed(0)
    return [source.draw(generator) for _ in range(n)]


def test_a_run_is_in_order_at_equal_distances_with_the_brightness_of_the_volume():
    for run in drawn(volumes()):
        step = round(run.step_mm / 3)
        ratios = [float(image[0, 0]) for image in run.images]
        assert ratios[0] == 1
        possible = [[1 + n * step / first for n in range(len(ratios))] for first in range(1, 6)]
        assert any(ratios == pytest.approx(one) for one in possible)


def test_runs_are_as_long_as_asked_for_or_as_the_volume_goes_on():
    assert {len(run.images) for run in drawn(volumes())} == {2, 3}


def test_small_steps_are_drawn_most_often():
    distances = [run.step_mm for run in drawn(volumes())]
    assert set(distances) == {3.0, 6.0, 9.0, 12.0}
    assert distances.count(3.0) > distances.count(6.0) > distances.count(9.0)


def test_a_volume_of_one_slice_is_never_drawn():
    assert all(run.images.shape[-2] == 8 for run in drawn(volumes()))


def test_without_a_volume_nothing_is_drawn():
    with pytest.raises(ValueError, match="no volume of two slices"):
        Volumes([torch.ones(8, 8)], [Place(0, 0, 1.0)], SETTINGS).draw(torch.Generator())


@pytest.mark.parametrize(
    "wrong", [{"max_step": 0}, {"slices": 1}, {"drop_probability": 1.5}, {"spacing_mm": (0.0, 3.0)}]
)
def test_values_outside_their_range_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        NeighbourSettings(**wrong)
