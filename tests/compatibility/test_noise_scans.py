"""Where the noise level comes from, and what happens where it is wrong or missing."""

import ismrmrd
import numpy as np
import pytest

from nilatron.pipelines.replay.run import replay
from nilatron.pipelines.replay.settings import ReplaySettings
from nilatron.pipelines.simulation.simulate import simulate

pytestmark = pytest.mark.slow  # through a whole node what gadgets and conversation are asked alone

WHITENED = ("NoiseAdjustGadget", "RemoveROOversamplingGadget")


def sigma_of(image):
    return {name: float(image.meta[f"nilatron_sigma_{name}"]) for name in ("measured", "used")}


def with_data(line, data):
    changed = ismrmrd.Acquisition.from_array(np.ascontiguousarray(data, np.complex64))
    head = line.getHead()
    head.active_channels, head.number_of_samples = data.shape
    changed.setHead(head)
    return changed


@pytest.mark.row("F2.13")
@pytest.mark.parametrize("dwell_us", [(5.0, 7.5), (5.0, 5.0), (0.0, 0.0)], ids=["other", "same", "unknown"])
def test_the_noise_scan_of_the_stream_sets_the_scale(simulated, converse, dwell_us):
    scan = simulated(noise_std=0.02, dwell_us=dwell_us[0], noise_dwell_us=dwell_us[1], noise_bandwidth=0.6)
    reply = converse(scan)
    assert reply.error is None
    (image,) = reply.images
    assert scan.error_of(image) < 0.035
    assert image.meta["nilatron_noise_source"] == "noise scan"


@pytest.mark.row("F2.13")
def test_noise_that_the_chain_in_front_has_used_is_recognised(simulated, converse):
    """So it is with a noise scan that Gadgetron takes from its storage: the node sees whitened lines and no noise."""
    scan = simulated(noise_std=0.02, matrix=(64, 64, 1))
    reply = converse(scan.behind(*WHITENED))
    assert reply.error is None
    (image,) = reply.images
    assert image.meta["nilatron_noise_source"] == "upstream"
    assert scan.error_of(image) < 0.035


@pytest.mark.row("F2.13")
def test_noise_from_a_file(simulated, tmp_path):
    from dataclasses import replace

    settings = replace(simulated().settings, noise_std=0.02)
    raw, noise, out = (tmp_path / f"{name}.h5" for name in ("raw", "noise", "out"))
    simulate(raw, replace(settings, noise_lines=0))
    simulate(noise, settings)
    report = replay(ReplaySettings(raw, out, "cg_sense", noise=noise))
    assert report.complete
    assert report.log.counts["noise lines"] == settings.noise_lines


@pytest.mark.row("F2.13")
def test_without_a_noise_scan_the_noise_is_measured_and_the_image_says_so(simulated, converse):
    scan = simulated(noise_std=0.02, matrix=(64, 64, 1))
    scan.items = scan.imaging
    reply = converse(scan)
    assert reply.error is None
    (image,) = reply.images
    assert image.meta["nilatron_noise_source"] == "data"
    assert any("no noise scan" in comment for comment in image.meta["ImageComment"])
    assert scan.error_of(image) < 0.04


@pytest.mark.row("F2.13")
@pytest.mark.parametrize("factor", [0.1, 10.0])
def test_a_noise_scan_of_another_bandwidth_is_noticed(simulated, converse, factor):
    scan = simulated(noise_std=0.05)
    scan.items = [with_data(line, line.data * factor) for line in scan.noise] + scan.imaging
    reply = converse(scan)
    (image,) = reply.images
    assert any("noise level: noise scan says" in comment for comment in image.meta["ImageComment"])
    assert scan.error_of(image) < 0.2


@pytest.mark.row("F2.13")
def test_a_noise_scan_with_other_channels_is_an_error(simulated, converse):
    scan = simulated()
    scan.items = [with_data(line, line.data[:3]) for line in scan.noise] + scan.imaging
    reply = converse(scan)
    assert not reply.images
    assert "the noise scan has 3 channels and the image lines 4" in reply.error


@pytest.mark.row("F2.13")
def test_a_noise_scan_with_permuted_coils_is_put_in_order_or_noticed(simulated, converse):
    scan = simulated(noise_std=0.05, noise_gain_spread=6.0)
    straight = converse(scan)
    scan.items = [with_data(line, line.data[[2, 0, 3, 1]]) for line in scan.noise] + scan.imaging
    reply = converse(scan)
    if reply.error is None:
        (image,), (expected,) = reply.images, straight.images
        difference = np.linalg.norm(image.data - expected.data) / np.linalg.norm(expected.data)
        said = [comment for comment in image.meta["ImageComment"] if "noise" in comment]
        assert difference < 0.02 or said


@pytest.mark.row("F2.13")
@pytest.mark.parametrize("fault", ["dead coil", "repeated coil", "too few samples", "all zero"])
def test_a_singular_noise_covariance(simulated, converse, fault):
    scan = simulated(noise_std=0.02)
    edits = {
        "dead coil": lambda data: data * np.array([[1], [0], [1], [1]]),
        "repeated coil": lambda data: data[[0, 0, 2, 3]],
        "too few samples": lambda data: data[:, :1],
        "all zero": lambda data: 0 * data,
    }
    noise = [with_data(line, edits[fault](line.data)) for line in scan.noise]
    scan.items = (noise[:1] if fault == "too few samples" else noise) + scan.imaging
    reply = converse(scan)
    (image,) = reply.images
    assert np.isfinite(image.data).all()
    assert scan.error_of(image) < (0.5 if fault == "repeated coil" else 0.3)
    assert reply.error is None or "noise scan" in reply.error


@pytest.mark.row("F2.13")
def test_noise_of_more_coils_than_the_image_is_matched_by_coil_label(simulated, converse):
    """gadgetron/gadgetron#7 and #598: coils switched off after the noise scan; labels and channel masks tell."""
    scan = simulated(noise_std=0.05, noise_gain_spread=6.0, n_coils=6)
    scan.header.acquisitionSystemInformation.coilLabel = [
        ismrmrd.xsd.coilLabelType(coilNumber=number, coilName=f"Head_32:1:H{number}") for number in range(6)
    ]
    chosen = [0, 2, 3, 5]

    def active(line):
        line = with_data(line, line.data[chosen])
        line.channel_mask[0] = sum(1 << channel for channel in chosen)
        return line

    noise, imaging = scan.noise, [active(line) for line in scan.imaging]
    scan.items = [active(line) for line in noise] + imaging
    straight = converse(scan)
    scan.items = noise + imaging
    reply = converse(scan)
    assert reply.error is None
    (image,), (expected,) = reply.images, straight.images
    assert np.linalg.norm(image.data - expected.data) < 1e-4 * np.linalg.norm(expected.data)
    assert not any("Head_32" in value for value in image.meta.values())


@pytest.mark.row("F2.13")
@pytest.mark.parametrize("place", ["before", "in the middle"])
@pytest.mark.parametrize("dwell_factor", [2, 4])
def test_navigators_of_another_bandwidth_set_no_scale(simulated, converse, place, dwell_factor):
    """gadgetron/gadgetron#598: the noise scale that an unlike first line sets."""
    scan = simulated(noise_std=0.05)
    straight = converse(scan)
    navigator = with_data(scan.imaging[0], 3 * scan.imaging[0].data[:2])
    navigator.set_flag(ismrmrd.ACQ_IS_NAVIGATION_DATA)
    navigator.sample_time_us *= dwell_factor
    n = len(scan.noise) + (0 if place == "before" else 7)
    scan.items = [*scan.items[:n], navigator, *scan.items[n:]]
    reply = converse(scan)
    assert reply.error is None
    (image,), (expected,) = reply.images, straight.images
    np.testing.assert_array_equal(image.data, expected.data)
    assert sigma_of(image)["used"] == 1.0


@pytest.mark.row("F2.13")
@pytest.mark.parametrize("n_before", [1, 13, 39])
def test_noise_lines_in_the_middle_of_an_image_count_for_all_of_it(simulated, converse, n_before):
    scan = simulated(noise_std=0.05)
    straight = converse(scan)
    scan.items = [*scan.imaging[:n_before], *scan.noise, *scan.imaging[n_before:]]
    reply = converse(scan)
    assert reply.error is None
    (image,), (expected,) = reply.images, straight.images
    np.testing.assert_array_equal(image.data, expected.data)


@pytest.mark.row("F2.13")
def test_a_noise_measurement_that_is_missing_is_told(simulated, converse):
    """ismrmrd/ismrmrd#54, gadgetron/gadgetron#437: a scan that names the measurement of its noise, and it is not there."""
    scan = simulated(noise_std=0.02, matrix=(64, 64, 1))
    scan.header.measurementInformation.measurementDependency = [
        ismrmrd.xsd.measurementDependencyType(dependencyType="Noise", measurementID="45160_88093439_88093444_513")
    ]
    whitened = converse(scan.behind(*WHITENED))
    scan.items = scan.imaging
    reply = converse(scan)
    assert reply.error is None
    (image,) = reply.images
    assert any("'45160_88093439_88093444_513'" in comment for comment in image.meta["ImageComment"])
    (image,) = whitened.images
    assert image.meta["nilatron_noise_source"] == "upstream"
    assert not any("45160" in comment for comment in image.meta["ImageComment"])
