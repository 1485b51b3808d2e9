"""Dimensions of a scan: what is imaged, how many images come, where they lie."""

import ismrmrd
import numpy as np
import pytest

from nilatron.pipelines.simulation.simulate import ground_truth

BUCKETS = ("NoiseAdjustGadget", "RemoveROOversamplingGadget", "AcquisitionAccumulateTriggerGadget")
BUFFERS = (*BUCKETS, "BucketToBufferGadget")


@pytest.mark.row("F2.01")
def test_one_slice_fully_sampled_with_its_noise_scan(simulated, converse):
    scan = simulated(angles_deg=(20.0, -30.0, 10.0), centre_mm=(5.0, -7.0, 11.0), noise_std=0.02)
    reply = converse(scan)
    assert reply.error is None
    (image,) = reply.images
    assert scan.error_of(image) < 0.035
    assert list(image.matrix_size) == [48, 40, 1]
    assert list(image.field_of_view) == [240.0, 200.0, 5.0]
    line = scan.imaging[20]
    for name in ("position", "read_dir", "phase_dir", "slice_dir", "patient_table_position"):
        assert list(getattr(image, name)) == list(getattr(line, name))
    assert image.image_index == 1
    assert reply.report.counts["noise lines"] == len(scan.noise)


@pytest.mark.slow
@pytest.mark.row("F2.02")
def test_a_volume_accelerated_in_both_directions(simulated, converse):
    changes = {"matrix": (12, 24, 16), "fov_mm": (240.0, 240.0, 220.0), "calibration_lines": 12}
    scan = simulated(**changes, acceleration=2, acceleration_z=2)
    reply = converse(scan)
    assert reply.error is None
    (image,) = reply.images
    assert image.data.shape == (1, 16, 24, 12)
    assert list(image.field_of_view) == [240.0, 240.0, 220.0]
    assert scan.error_of(image) < 0.06


@pytest.mark.slow
@pytest.mark.row("F2.03")
@pytest.mark.parametrize("gadgets", [(), BUFFERS], ids=["lines", "buffers"])
def test_interleaved_slices_that_do_not_start_at_zero(simulated, converse, gadgets):
    scan = simulated(n_slices=5, angles_deg=(10.0, 0.0, 5.0))
    for line in scan.imaging:
        line.idx.slice += 3
    limit = scan.header.encoding[0].encodingLimits.slice
    limit.minimum, limit.maximum = 3, 7
    positions = {line.idx.slice: list(line.position) for line in scan.imaging}
    reply = converse(scan.behind(*gadgets))
    assert reply.error is None
    found = [image.slice for image in reply.images]
    assert sorted(found) == [3, 4, 5, 6, 7]
    assert gadgets or found == [3, 5, 7, 4, 6]
    for image in reply.images:
        assert list(image.position) == positions[image.slice]
        assert scan.error_of(image, image.slice - 3) < 0.025
    assert {image.slice: image.image_index for image in reply.images} == {3: 1, 4: 2, 5: 3, 6: 4, 7: 5}


@pytest.mark.slow
@pytest.mark.row("F2.04")
@pytest.mark.parametrize("gadgets", [(), BUCKETS, BUFFERS], ids=["lines", "buckets", "buffers"])
def test_repetitions_that_do_not_start_at_zero(simulated, converse, gadgets):
    scan = simulated(n_repetitions=3, n_slices=2)
    for line in scan.imaging:
        line.idx.repetition += 4
    reply = converse(scan.behind(*gadgets))
    assert reply.error is None
    assert sorted((image.repetition, image.slice) for image in reply.images) == [
        (r, s) for r in (4, 5, 6) for s in (0, 1)
    ]
    assert all(scan.error_of(image, image.slice) < 0.025 for image in reply.images)


def noise_in(image, scan):
    """Standard deviation of the error of a magnitude image, in units of the noise of one sample."""
    truth = np.abs(ground_truth(scan.settings)) / scan.settings.noise_std
    return float(np.std((np.abs(image.data[0]) - truth)[truth > 0.3 * truth.max()]))


@pytest.mark.slow
@pytest.mark.row("F2.05")
@pytest.mark.parametrize("how", ["a dimension", "a dimension, in buffers", "the same line again"])
def test_averages_lower_the_noise_by_their_square_root(simulated, converse, how):
    one = simulated(noise_std=0.05)
    four = simulated(noise_std=0.05, n_averages=4)
    if how == "the same line again":
        for line in four.imaging:
            line.idx.average = 0
            line.clear_flag(ismrmrd.ACQ_LAST_IN_SLICE)
        four.header.encoding[0].encodingLimits.average.maximum = 0
    elif "buffers" in how:
        four = four.behind(*BUFFERS)
    (single,), (averaged,) = converse(one).images, converse(four).images
    assert noise_in(averaged, four) == pytest.approx(noise_in(single, one) / 2, rel=0.15)


@pytest.mark.slow
@pytest.mark.row("F2.06")
@pytest.mark.parametrize("dimension", ["contrast", "phase", "set"])
def test_contrasts_phases_and_sets_stay_apart(simulated, converse, dimension):
    scan = simulated(n_contrasts=3, n_slices=2)
    for line in scan.imaging:
        contrast, line.idx.contrast = line.idx.contrast, 0
        setattr(line.idx, dimension, contrast)
    limits = scan.header.encoding[0].encodingLimits
    limits.contrast.maximum = 0
    getattr(limits, dimension).maximum = 2
    reply = converse(scan)
    assert reply.error is None
    assert sorted((getattr(image, dimension), image.slice) for image in reply.images) == [
        (number, index) for number in range(3) for index in range(2)
    ]
    assert all(scan.error_of(image, image.slice, getattr(image, dimension)) < 0.03 for image in reply.images)
