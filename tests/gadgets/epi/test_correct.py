import ismrmrd
import numpy as np
import pytest

from nilatron.core.epi.trapezoid import Trapezoid
from nilatron.gadgets.epi.correct import GRIDDED, UNCORRECTED, UNDESCRIBED
from nilatron.gadgets.items import Context, ScanError
from nilatron.gadgets.stock.registry import STOCK_GADGETS
from nilatron.gadgets.stock.types import AcquisitionBucket

N = 32
LOBE = Trapezoid(60, 200, 60)
FLAWS = {"shift": 0.7, "phase": 0.5, "evolution": 0.02, "noise": 0.01}
SAMPLINGS = pytest.mark.parametrize(
    "sampling",
    [{}, {"lobe": LOBE}, {"lobe": Trapezoid(40, 200, 80)}, {"lobe": LOBE, "delay_us": 10, "dwell_us": 280 / 64}],
    ids=["flat", "ramps", "asymmetric ramps", "early"],
)


@SAMPLINGS
def test_navigators_remove_the_ghost(epi_scan, sampling):
    plain = epi_scan(**sampling, **FLAWS, directions=(False,))
    (expected,), _ = plain.slices()
    scan = epi_scan(**sampling, **FLAWS)
    (item,), log = scan.slices()
    assert scan.psnr(item) > plain.psnr(expected) - 1
    assert scan.ghost(item) < 0.003
    assert not log.problems
    assert log.counts["navigators of echo-planar readouts"] == 3
    assert log.counts["lines corrected for their direction"] == N // 2

    (uncorrected,), log = scan.slices(scan.imaging())
    assert scan.ghost(uncorrected) > 0.02
    assert scan.psnr(uncorrected) < scan.psnr(item) - 6
    assert [UNCORRECTED in problem for problem in log.problems] == [True]
    assert uncorrected.notes == (UNCORRECTED,)


@SAMPLINGS
def test_without_flaws_lines_of_both_directions_are_those_of_one(epi_scan, sampling):
    (both,), _ = epi_scan(**sampling).slices()
    (one,), _ = epi_scan(**sampling, directions=(False,)).slices()
    inside = (both.counts > 0) & (one.counts > 0)
    assert inside.mean() > 0.9
    assert np.linalg.norm((both.kspace - one.kspace)[:, inside]) < 0.02 * np.linalg.norm(one.kspace)


def test_each_shot_and_slice_is_corrected_by_its_own_navigators(epi_scan):
    scans = [epi_scan(shift=0.3 * i, phase=0.5 * i, steps=tuple(range(i % 2, N, 2)), seed=i // 2) for i in range(4)]
    lines = []
    for number, scan in enumerate(scans):
        lines += [*scan.navigators(slice=number // 2), *scan.imaging(slice=number // 2)]
    items, log = scans[0].slices(lines)
    assert not log.problems
    clean = [epi_scan(directions=(False,), seed=i) for i in range(2)]
    for item, scan in zip(items, clean, strict=True):
        (expected,), _ = scan.slices()
        error = np.abs(item.kspace - expected.kspace)[..., 6:-6]  # the ends of a shifted line were not measured
        assert error.max() < 0.02 * np.abs(expected.kspace).max()


def test_navigators_may_come_at_the_end_where_the_header_announces_them(epi_scan):
    scan = epi_scan(LOBE, **FLAWS)
    (expected,), _ = scan.slices()
    scan = epi_scan(LOBE, **FLAWS)
    navigators, imaging = scan.navigators(), scan.imaging()
    (item,), log = scan.slices([*imaging, *navigators])
    np.testing.assert_array_equal(item.kspace, expected.kspace)
    assert not log.problems


def test_announced_navigators_that_never_come_are_told_and_every_line_is_there(epi_scan):
    scan = epi_scan(LOBE, **FLAWS)
    repetitions = [line for r in range(3) for line in scan.imaging(repetition=r)]
    items, log = scan.slices(repetitions)
    assert [int(np.count_nonzero(item.counts[0, :, N // 2])) for item in items] == [N] * 3
    assert all(item.notes == (UNCORRECTED,) for item in items)
    assert len(log.problems) == 1


def test_lines_that_a_chain_in_front_has_corrected_pass_without_a_word(epi_scan):
    scan = epi_scan(LOBE, directions=(False,), n_samples=N, n_x=N, dwell_us=10.0)
    lines = scan.imaging()
    scan.header.encoding[0].trajectoryDescription.userParameterLong[3].value = 2 * N
    items, log = scan.slices(lines, regridded=True)
    np.testing.assert_array_equal(items[0].kspace[:, 0, 5], lines[5].data)
    assert not log.problems


def test_regridded_lines_that_kept_their_flag_are_not_turned(epi_scan):
    scan = epi_scan(n_x=N, n_samples=N, directions=(False,), n_navigators=0)
    lines = scan.imaging()
    for line in lines[1::2]:
        line.set_flag(ismrmrd.ACQ_IS_REVERSE)
    (item,), log = scan.slices(lines, regridded=True)
    np.testing.assert_array_equal(item.kspace[:, 0, 5], lines[5].data)
    assert UNCORRECTED in log.problems[0]


def test_both_directions_with_their_echo_at_half_an_even_line(epi_scan):
    """Sample n // 2 is DC in the order of time, whichever way the line is read."""
    scan = epi_scan(n_x=N, n_samples=N, n_navigators=0)
    (item,), _ = scan.slices()
    (expected,), _ = epi_scan(n_x=N, n_samples=N, n_navigators=0, directions=(False,)).slices()
    measured = item.counts > 0
    assert (~measured).sum() == N // 2  # the first sample of a line that is turned around is not measured
    np.testing.assert_allclose(item.kspace[:, measured], expected.kspace[:, measured], atol=1e-5)


@pytest.mark.parametrize(("has_navigators", "corrected"), [(True, N // 2), (False, 0)])
def test_cartesian_lines_are_touched_where_navigators_came_for_them(epi_scan, has_navigators, corrected):
    scan = epi_scan(**FLAWS)
    scan.header.encoding[0].trajectory = ismrmrd.xsd.trajectoryType.CARTESIAN
    scan.header.encoding[0].trajectoryDescription = None
    _, log = scan.slices(scan.lines if has_navigators else scan.imaging())
    assert log.counts["lines corrected for their direction"] == corrected
    assert log.counts["lines left out: phase correction"] == 3 * has_navigators
    assert not log.problems


def test_a_navigator_with_broken_values_or_of_another_length_costs_nothing_else(epi_scan, make_line):
    scan = epi_scan(LOBE, **FLAWS, n_navigators=6)
    navigators = scan.navigators()
    navigators[1].data[0, 0] = np.nan
    flags = (ismrmrd.ACQ_IS_PHASECORR_DATA,)
    lines = [*navigators, make_line(np.ones((3, 5)), *flags), *scan.imaging()]
    (item,), log = scan.slices(lines)
    assert scan.ghost(item) < 0.003
    (problem,) = log.problems
    assert "a navigator is left out" in problem
    assert "a line has 5" in problem


def test_a_useless_navigator_of_a_cartesian_scan_is_no_problem(epi_scan, make_line):
    scan = epi_scan(directions=(False,))
    scan.header.encoding[0].trajectory = ismrmrd.xsd.trajectoryType.CARTESIAN
    scan.header.encoding[0].trajectoryDescription = None
    flags = (ismrmrd.ACQ_IS_PHASECORR_DATA,)
    strange = [make_line(np.ones((3, 200)), *flags), make_line(np.ones((7, 64)), *flags, echo=60)]
    _, log = scan.slices([*strange, *scan.imaging()])
    assert not log.problems
    assert log.counts["lines left out: phase correction"] == 2


def test_a_line_that_contradicts_the_description_is_refused(epi_scan):
    scan = epi_scan(LOBE, stated={"numSamples": 60})
    with pytest.raises(ScanError, match=r"trajectoryDescription.*numSamples says 60 .* a line has 64"):
        scan.slices(scan.imaging())


def test_buckets_of_ramp_sampled_lines_are_refused(epi_scan):
    scan = epi_scan(LOBE)
    with pytest.raises(ScanError, match=r"trajectoryDescription.* states ramp sampling, and its lines came in buckets"):
        scan.slices([AcquisitionBucket()])
    items, _ = scan.slices([AcquisitionBucket()], regridded=True)
    assert len(items) == 1


def test_directions_in_buckets_and_gridded_are_told(epi_scan):
    scan = epi_scan()
    bucket, one_way = AcquisitionBucket(), AcquisitionBucket()
    for line in scan.imaging():
        bucket.add_data(line)
    for line in epi_scan(directions=(False,)).imaging():
        one_way.add_data(line)
    assert not scan.slices([one_way])[1].problems
    assert UNCORRECTED in scan.slices([bucket])[1].problems[0]
    through = STOCK_GADGETS["BucketToBufferGadget"]({})([bucket], Context(scan.header))
    (gridded,) = through  # our own turns lines around
    assert not scan.slices([gridded])[1].problems
    gridded.bits[0].data.headers["flags"] |= 1 << (ismrmrd.ACQ_IS_REVERSE - 1)
    assert scan.slices([gridded, gridded])[1].problems == [GRIDDED]


def test_what_is_no_line_of_an_encoding_passes(epi_scan, make_line):
    scan = epi_scan(LOBE)
    noise = make_line(np.ones((3, 7)), ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
    dummy = make_line(np.ones((3, 7)), ismrmrd.ACQ_IS_DUMMYSCAN_DATA)
    items, log = scan.slices([noise, dummy, ismrmrd.Waveform()])
    assert not items
    assert not log.problems
    assert log.counts["lines left out: dummy"] == 1


@pytest.mark.parametrize("how", ["described", "by its lines", "regridded", "not at all"])
def test_a_readout_that_nothing_describes_is_told(epi_scan, how):
    scan = epi_scan(directions=(False,), noise=0.01)
    if how != "described":
        scan.header.encoding[0].trajectoryDescription = None
    lines = scan.imaging()
    if how == "by its lines":
        k = np.arange(2 * N, dtype=np.float32)[:, None] - N
        lines = [ismrmrd.Acquisition(with_dimensions(line.getHead(), 1), line.data, k) for line in lines]
    (item,), log = scan.slices(lines, regridded=how == "regridded")
    assert [UNDESCRIBED in problem for problem in log.problems] == [True] * (how == "not at all")
    assert [UNDESCRIBED in note for note in item.notes] == [True] * (how == "not at all")


def with_dimensions(head, n):
    head.trajectory_dimensions = n
    return head
