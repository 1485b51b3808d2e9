from dataclasses import replace

import numpy as np
import pytest

from nilatron.core.prior.weights import DEFAULT_WEIGHTS
from nilatron.core.quality.residual import residual_of
from nilatron.core.recon import estimate_coil_maps
from nilatron.gadgets.conventional import prepare_slice
from nilatron.gadgets.doubt import DoubtSettings, Thresholds, doubts, judged, shrinkage
from nilatron.gadgets.items import Context
from nilatron.pipelines.simulation.simulate import SimulationSettings

SCAN = SimulationSettings(
    matrix=(64, 64, 1), n_coils=6, noise_std=0.02, noise_gain_spread=1.0, noise_correlation=0.0, acceleration=2,
    calibration_lines=20,
)  # fmt: skip


@pytest.fixture(scope="module")
def item(slices_of):
    return slices_of(SCAN)[1][0]


def doubts_of(item, method="cg_sense", thresholds=None):
    problem = prepare_slice(item, Context(None), method, DEFAULT_WEIGHTS, 0).problem
    image = problem.conventional
    candidate = judged(item, problem, image, residual_of(problem.operator, problem.data, image), method)
    return " | ".join(doubts(candidate, thresholds))


def lines_of(item):
    return np.flatnonzero(item.counts.max(axis=(0, 2)) > 0)


def changed(item, change):
    kspace = item.kspace.copy()
    change(kspace, lines_of(item))
    return replace(item, kspace=kspace)


@pytest.mark.parametrize("noise_std", [0.1, 0.02, 0.0005])
@pytest.mark.parametrize("acceleration", [1, 2, 4, 6])
def test_right_images_are_not_doubted(slices_of, noise_std, acceleration):
    _, (item,) = slices_of(replace(SCAN, noise_std=noise_std, acceleration=acceleration))
    assert doubts_of(item) == ""
    assert doubts_of(item, "nila") == ""


@pytest.mark.slow
def test_right_volumes_are_not_doubted(slices_of):
    _, (item,) = slices_of(replace(SCAN, matrix=(48, 40, 16), acceleration=2))
    assert doubts_of(item, "nila") == ""


@pytest.mark.parametrize("acceleration", [1, 2, 4])
def test_right_images_of_one_coil_are_not_doubted(slices_of, acceleration):
    _, (item,) = slices_of(replace(SCAN, n_coils=1, acceleration=acceleration))
    assert doubts_of(item, "nila") == ""


def lose(kspace, lines):
    kspace[:, :, lines[len(lines) // 2 - 2]] = 0


def repeat(kspace, lines):
    middle = len(lines) // 2
    kspace[:, :, lines[middle - 2]] = kspace[:, :, lines[middle + 1]]


def swap(kspace, lines):
    middle = len(lines) // 2
    pair = lines[[middle - 2, middle + 1]]
    kspace[:, :, pair] = kspace[:, :, pair[::-1]]


def shuffle(kspace, lines):
    kspace[:, :, lines] = kspace[:, :, np.random.default_rng(0).permutation(lines)]


def reverse_every_second(kspace, lines):
    kspace[:, :, lines[1::2]] = kspace[:, :, lines[1::2], ::-1]


def spike(kspace, lines):
    kspace[0, 0, lines[3], 20] += np.abs(kspace).max()


@pytest.mark.parametrize("method", ["cg_sense", "nila"])
@pytest.mark.parametrize("fault", [lose, repeat, swap, shuffle, reverse_every_second, spike])
def test_wrong_lines_are_doubted(item, fault, method):
    assert "lines do not fit the image" in doubts_of(changed(item, fault), method)


@pytest.mark.parametrize("method", ["cg_sense", "nila"])
def test_wrong_maps_are_doubted(item, method):
    assert "coil maps and data do not agree" in doubts_of(replace(item, coil_maps=item.coil_maps[::-1].copy()), method)
    ramp = np.exp(2j * np.pi * 12 / 64 * np.arange(item.calibration.shape[2]))[:, None].astype(np.complex64)
    moved = estimate_coil_maps(item.kspace, item.counts, item.calibration * ramp)[0]
    assert "coil maps and data do not agree" in doubts_of(replace(item, coil_maps=moved), method)


def test_where_the_residual_lies_is_told(item):
    text = doubts_of(replace(item, coil_maps=item.coil_maps[::-1].copy()))
    assert "in the centre of k-space and around pixel (z, y, x) = (0, " in text


@pytest.mark.parametrize("method", ["zero_filled", "cg_sense", "nila"])
def test_maps_that_are_zero_where_the_object_is_are_doubted_whatever_the_method_promises(item, method):
    few = item.coil_maps * (np.random.default_rng(0).random(item.counts.shape) < 0.02)
    assert "the coil maps leave out 9" in doubts_of(replace(item, coil_maps=few), method)


def test_aliases_are_doubted_although_their_maps_explain_them(slices_of):
    _, (item,) = slices_of(replace(SCAN, noise_std=0.1, calibration="none"))
    item = replace(item, coil_maps=estimate_coil_maps(item.kspace, item.counts, None, way="walsh")[0])
    text = doubts_of(item)
    assert "repeats itself at FOV/2 along y" in text
    assert "do not agree" not in text
    assert doubts_of(item, "zero_filled") == ""  # which never promised to unfold them


@pytest.mark.parametrize(
    ("factor", "told"), [(0.5, "less noise than was assumed"), (2, "1.8 times the noise"), (10, "9.1 times the noise")]
)
def test_a_wrong_noise_scale_is_doubted_where_it_matters(slices_of, factor, told):
    _, (item,) = slices_of(replace(SCAN, noise_std=0.05, acceleration=1))
    assert told in doubts_of(replace(item, kspace=factor * item.kspace, calibration=factor * item.calibration))
    _, (item,) = slices_of(replace(SCAN, noise_std=0.002, acceleration=1))
    assert doubts_of(replace(item, kspace=factor * item.kspace, calibration=factor * item.calibration)) == ""


def test_noise_that_nobody_claimed_is_no_reason(slices_of):
    _, (item,) = slices_of(replace(SCAN, noise_std=0.05, acceleration=1))
    item = replace(item, kspace=2 * item.kspace, noise=replace(item.noise, source="data"))
    assert doubts_of(item) == ""


def test_cg_sense_may_stay_away_from_data_that_say_little(slices_of):
    """Without the central line the conventional image loses much of the signal, and is told to."""
    _, (item,) = slices_of(replace(SCAN, acceleration=1))
    kspace, counts = item.kspace.copy(), item.counts.copy()
    kept = np.arange(64) % 3 == 1
    kspace[:, :, ~kept], counts[:, ~kept] = 0, 0
    assert not kept[32]
    few = replace(item, kspace=kspace, counts=counts)
    assert doubts_of(few, "cg_sense") == ""
    assert "coil maps and data do not agree" in doubts_of(few, "nila")


def test_no_signal_no_doubt(item):
    assert doubts_of(replace(item, kspace=0 * item.kspace)) == ""


def test_thresholds_decide(item):
    strict = Thresholds(ghost=-1.0)
    assert "repeats itself" in doubts_of(item, thresholds=strict)


def test_a_prior_of_a_weak_signal_takes_much_of_it(item):
    problem = prepare_slice(item, Context(None), "cg_sense", DEFAULT_WEIGHTS, 0).problem
    residual = residual_of(problem.operator, problem.data, problem.conventional)
    assert shrinkage(residual, 64 * 64) < 0.01
    weak = residual_of(problem.operator, problem.data / np.float32(50), problem.conventional / np.float32(50))
    assert shrinkage(weak, 64 * 64) == 1


def test_other_words_are_refused():
    with pytest.raises(ValueError, match="doubtful must be mark or refuse"):
        DoubtSettings("ignore")


@pytest.mark.parametrize("method", ["cg_sense", "nila", "zero_filled"])
@pytest.mark.parametrize(("acceleration", "is_told"), [(1, False), (2, True), (3, True)])
def test_maps_without_calibration_are_a_guess_where_central_lines_are_missing(slices_of, method, acceleration, is_told):
    settings = replace(SCAN, acceleration=acceleration, calibration="none")
    _, (item,) = slices_of(settings)
    if acceleration == 1:
        item = replace(item, calibration=None)
    assert ("coil maps are a guess" in doubts_of(item, method)) == (is_told and method != "zero_filled")


def test_joint_maps_of_lines_that_tell_aliases_apart_are_no_guess(slices_of):
    _, (item,) = slices_of(replace(SCAN, acceleration=2))
    few = item.counts * 0
    few[:, ::2] = few[:, 29:35] = 1  # 3 lines between those of the grid
    item = replace(item, kspace=item.kspace * few, counts=few, calibration=None)
    maps, source = estimate_coil_maps(item.kspace, item.counts, None)
    assert "a guess" not in doubts_of(replace(item, coil_maps=maps, maps_from=source))
    assert "a guess" in doubts_of(replace(item, coil_maps=maps, maps_from="low frequencies"))
    uncentred = few.copy()
    uncentred[:, 32] = 0
    item = replace(item, kspace=item.kspace * uncentred, counts=uncentred, coil_maps=maps, maps_from=source)
    assert "a guess" in doubts_of(item)


@pytest.mark.parametrize("target", ["zero_filled", "cg_sense"])
def test_images_of_two_sets_are_judged_and_shown_as_one(item, target):
    maps, source = estimate_coil_maps(item.kspace, item.counts, item.calibration, n_sets=2)
    two = replace(item, coil_maps=maps, maps_from=source)
    assert doubts_of(two, target) == ""
    prepared = prepare_slice(two, Context(None), target, DEFAULT_WEIGHTS, 0)
    assert prepared.conventional.image.shape == item.counts.shape
    one = prepare_slice(item, Context(None), target, DEFAULT_WEIGHTS, 0).conventional.image
    assert np.linalg.norm(np.abs(prepared.conventional.image) - np.abs(one)) < 0.1 * np.linalg.norm(one)


def test_one_coil_needs_no_calibration(slices_of):
    _, (item,) = slices_of(replace(SCAN, n_coils=1, acceleration=2, calibration="none"))
    assert "coil maps" not in doubts_of(item)


@pytest.mark.parametrize("method", ["cg_sense", "zero_filled"])
@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (slice(28, 38), "around the centre of k-space, were not acquired"),
        (slice(20, 64), "the centre of k-space along y was not acquired"),
        (slice(4, 12), ""),
        (slice(0, 20), ""),
    ],
)
def test_images_without_the_centre_of_k_space_are_doubted(item, method, rows, said):
    counts, kspace = item.counts.copy(), item.kspace.copy()
    counts[:, rows], kspace[:, :, rows] = 0, 0
    text = doubts_of(replace(item, counts=counts, kspace=kspace), method)
    assert said in text
    assert ("not acquired" in text) == bool(said)


@pytest.mark.parametrize("acceleration", [2, 4, 6, 8])
def test_equispaced_lines_without_calibration_have_their_centre(slices_of, acceleration):
    _, (item,) = slices_of(replace(SCAN, acceleration=acceleration, calibration="none"))
    assert "centre of k-space" not in doubts_of(item, "zero_filled")


@pytest.mark.parametrize(
    ("lost", "is_told"), [((1,), True), ((-2, 2), True), ((-4,), True), ((-12, 9), False), ((5,), False)]
)
def test_rows_lost_next_to_the_centre_are_told_where_all_others_came(slices_of, lost, is_told):
    _, (item,) = slices_of(replace(SCAN, acceleration=1))
    kspace, counts = item.kspace.copy(), item.counts.copy()
    for row in lost:
        kspace[:, :, counts.shape[1] // 2 + row] = counts[:, counts.shape[1] // 2 + row] = 0
    said = doubts_of(replace(item, kspace=kspace, counts=counts))
    assert ("next to the centre of k-space, were not acquired" in said) == is_told
