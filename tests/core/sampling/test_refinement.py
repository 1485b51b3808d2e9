import numpy as np
import pytest

from nilatron.core.backend import complex_normal
from nilatron.core.phantom import coil_maps, phantom
from nilatron.core.sampling import refinement
from nilatron.core.sampling.refinement import FALL_IF_AMBIGUOUS, HIGHEST_IF_AMBIGUOUS, HIGHEST_LEVEL, MapRefinement
from nilatron.core.sense import SenseOperator

SHAPE = (1, 64, 48)
LOW = 0.05


def refined(counts, size=0.2):
    """A refinement of maps that are wrong by a smooth ripple, and the true image."""
    truth = coil_maps(4, SHAPE)
    truth = (truth / np.sqrt(np.sum(np.abs(truth) ** 2, axis=0))).astype(np.complex64)
    ripple = np.cos(2 * np.pi * np.arange(48) / 48) * np.array([1, -1, 1j, 1])[:, None, None, None]
    wrong = truth + size * ripple
    wrong = (wrong / np.sqrt(np.sum(np.abs(wrong) ** 2, axis=0))).astype(np.complex64)
    image = (100 * phantom(SHAPE)).astype(np.complex64)
    clean = SenseOperator(truth, counts).forward(image)
    data = clean + counts * complex_normal(np.random.default_rng(0), clean.shape, clean)
    return MapRefinement(SenseOperator(wrong, counts), data), image[None]


@pytest.fixture
def with_centre():
    counts = np.zeros(SHAPE, np.float32)
    counts[:, ::3] = counts[:, 28:36] = 1
    return counts


@pytest.fixture
def grid_alone():
    counts = np.zeros(SHAPE, np.float32)
    counts[:, 32 % 3 :: 3] = 1
    return counts


def test_maps_are_corrected_once_at_the_first_level_that_is_low_enough(with_centre):
    found, image = refined(with_centre)
    assert found(HIGHEST_LEVEL + 0.01, image) is None
    assert found.found is None
    renewed = found(HIGHEST_LEVEL, image)
    assert renewed is found.renewed is not None
    assert renewed.counts is found.operator.counts
    assert found.found.after < found.found.before
    assert found(LOW, image) is None
    assert found.renewed is renewed


def test_maps_that_are_kept_are_not_tried_again(with_centre):
    found, image = refined(with_centre, size=0.0)
    assert found(LOW, image) is None
    assert found.found is not None
    assert found.renewed is None


def test_lines_of_one_grid_need_a_lower_level_and_more_proof(grid_alone, monkeypatch):
    found, image = refined(grid_alone)
    assert found.is_ambiguous
    assert found(HIGHEST_LEVEL, image) is None
    assert found.found is None
    seen = []
    monkeypatch.setattr(refinement, "refined_maps", lambda *given: seen.append(given[-1].fall) or found_nothing())
    assert found(HIGHEST_IF_AMBIGUOUS, image) is None
    assert seen == [FALL_IF_AMBIGUOUS]


def found_nothing():
    return refinement.Refinement(None, 1.0, 1.0, 0.0)


def test_central_lines_are_proof_enough(with_centre):
    assert not refined(with_centre)[0].is_ambiguous
