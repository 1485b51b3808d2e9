import numpy as np
import pytest

from nilatron.core.backend import complex_normal, to_torch
from nilatron.core.phantom import phantom
from nilatron.core.quality.ghosts import edges, ghosts, self_correlation, spacing

SHAPE = (1, 96, 80)
OBJECT = (50 * phantom(SHAPE)).astype(np.complex64)


def rows(every, block=0, shape=SHAPE):
    counts = np.zeros(shape, np.float32)
    counts[:, ::every] = 1
    counts[:, shape[1] // 2 - block // 2 : shape[1] // 2 + block // 2] = 1
    return counts


def noisy(image, seed=0):
    return image + complex_normal(np.random.default_rng(seed), image.shape, image)


def test_an_object_has_no_ghost():
    for every in (1, 2, 3, 4):
        (ghost,) = ghosts(noisy(OBJECT), rows(every, 20))
        assert ghost.axis == 1
        assert ghost.is_full == (every == 1)
        assert ghost.strength < 0.05


@pytest.mark.parametrize("strength", [0.2j, 0.5, 1.0])
def test_a_ghost_at_half_the_field_of_view(strength):
    (ghost,) = ghosts(noisy(OBJECT + strength * np.roll(OBJECT, 48, axis=1)), rows(1))
    assert (ghost.divisor, ghost.multiple) == (2, 1)
    assert ghost.strength > abs(strength) / 4


def test_a_stronger_ghost_is_stronger():
    found = [ghosts(OBJECT + a * np.roll(OBJECT, 48, axis=1), rows(1))[0].strength for a in (0, 0.2, 0.4, 0.8)]
    assert found == sorted(found)


@pytest.mark.parametrize(("every", "shift"), [(3, 32), (4, 24), (5, 19)])
def test_aliases_at_a_part_of_the_field_of_view(every, shift):
    (ghost,) = ghosts(noisy(OBJECT + 0.8 * np.roll(OBJECT, shift, axis=1)), rows(every))
    assert (ghost.divisor, ghost.multiple) == (every, 1)
    assert not ghost.is_full
    assert ghost.strength > 0.3


@pytest.mark.slow
def test_aliases_of_a_volume_along_its_partitions():
    shape = (32, 40, 36)
    volume = np.stack([phantom((1, 40, 36))[0] * (abs(z - 16) < 6) * (1 + 0.3 * np.sin(z)) for z in range(32)])
    counts = np.ones(shape, np.float32)
    counts[1::2] = 0
    along_z, along_y = ghosts(volume + np.roll(volume, 16, axis=0), counts)
    assert (along_z.axis, along_z.divisor) == (0, 2)
    assert along_z.strength > 0.3 > along_y.strength


def test_short_axes_are_not_judged():
    assert ghosts(OBJECT[:, :20], np.ones((1, 20, 80), np.float32)) == []


def test_an_empty_image_has_no_ghost():
    (ghost,) = ghosts(0 * OBJECT, rows(2))
    assert ghost.correlation == ghost.strength == 0


def test_correlation_with_itself_is_one():
    c = self_correlation(edges(OBJECT), 1)
    assert c[0] == 1
    assert len(c) == 96
    np.testing.assert_allclose(c[1:], c[:0:-1], atol=1e-6)
    np.testing.assert_allclose(self_correlation(to_torch(edges(OBJECT)), 1), c, atol=1e-5)


@pytest.mark.parametrize(("every", "block", "expected"), [(1, 0, 1), (2, 0, 2), (4, 24, 4), (3, 0, 3)])
def test_spacing_of_regular_rows(every, block, expected):
    assert spacing(rows(every, block), 1) == expected


def test_rows_without_order_have_no_spacing():
    counts = (np.random.default_rng(0).random((1, 96, 1)) < 0.4).astype(np.float32)
    assert spacing(counts, 1) == 1
