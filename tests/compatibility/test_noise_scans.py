"""Where the noise level comes from, and what happens where it is wrong or missing."""

import ismrmrd
import numpy as np
import pytest

from nilatron.pipelines.replay import ReplaySettings, replay
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
