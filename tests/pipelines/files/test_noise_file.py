from dataclasses import replace

import ismrmrd
import numpy as np
import pytest

from nilatron.gadgets.known_noise import NoiseOrigin
from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.files.noise_file import image_channels, noise_lines, noise_origin
from nilatron.pipelines.files.raw import open_raw
from nilatron.pipelines.simulation.simulate import SimulationSettings

NOISE = ismrmrd.ACQ_IS_NOISE_MEASUREMENT
SCAN = SimulationSettings(matrix=(16, 12, 1), n_coils=4, noise_lines=5)


def ordered(lines, channels):
    for line in lines:
        head = line.getHead()
        head.active_channels = len(channels)
        yield ismrmrd.Acquisition(head, np.ascontiguousarray(line.data[list(channels)]))


@pytest.fixture
def files(tmp_path, raw_file_of, noise_measurement):
    """A noise file with labelled channels in some order, and the scan with some of them."""

    def make(noise_labels, scan_labels, order=range(4), active=range(4), noise=SCAN):
        header, items = noise_measurement(noise, noise_labels, "noise_7")
        raw_file_of(tmp_path / "noise.h5", header, ordered(items[:5], order))
        header, items = noise_measurement(SCAN, scan_labels, "scan_8")
        raw_file_of(tmp_path / "scan.h5", header, ordered(items[5:], active))
        return tmp_path / "noise.h5", tmp_path / "scan.h5", items[:5]

    return make


def fitted(noise, scan):
    with open_raw(scan) as raw, open_raw(noise) as other:
        return list(noise_lines(other, image_channels(raw), raw.header))


@pytest.mark.parametrize("labels", ["", "ABCD"])
def test_lines_of_the_same_channels_stay_as_they_are(files, labels):
    noise, scan, expected = files(labels, labels)
    lines = fitted(noise, scan)
    assert len(lines) == 5
    for line, other in zip(lines, expected, strict=True):
        np.testing.assert_array_equal(line.data, other.data)
        assert bytes(line.getHead()) == bytes(other.getHead())


def test_channels_are_put_in_the_order_of_the_scan(files):
    lines = fitted(*files("CADB", "ABCD", order=(2, 0, 3, 1))[:2])
    for line, other in zip(lines, files("", "")[2], strict=True):
        np.testing.assert_array_equal(line.data, other.data)
        assert line.is_flag_set(NOISE)


def test_channels_of_fewer_coils_are_chosen(files):
    noise, scan, own = files("CADB", "DB", order=(2, 0, 3, 1), active=(3, 1))
    for line, other in zip(fitted(noise, scan), own, strict=True):
        np.testing.assert_array_equal(line.data, other.data[[3, 1]])


@pytest.mark.parametrize(
    ("noise_labels", "scan_labels", "message"),
    [
        ("ABCD", "ABCX", "no channels for the coils 'X'"),
        ("AABC", "ABCA", "name more than one channel.*'A'"),
        ("ABCD", "", None),
        ("", "ABCD", None),
    ],
)
def test_labels_that_cannot_be_matched_are_refused_by_name(files, noise_labels, scan_labels, message):
    noise, scan, own = files(noise_labels, scan_labels)
    if message is None:  # one side has none: by number
        assert [line.data.tobytes() for line in fitted(noise, scan)] == [line.data.tobytes() for line in own]
        return
    with pytest.raises(InputError, match=rf"noise\.h5: .*{message}"):
        fitted(noise, scan)


def test_without_labels_the_numbers_of_channels_must_agree(files):
    noise, scan, _ = files("", "", order=(0, 1, 2))
    with pytest.raises(InputError, match="the noise scan has 3 channels and the image lines 4"):
        fitted(noise, scan)


@pytest.mark.slow
def test_the_bandwidth_is_that_of_the_noise_file(files):
    """Noise through 0.4 of a bandwidth, as the receiver of the scan, through 0.793, would have measured it."""
    narrow = replace(SCAN, noise_bandwidth=0.4)
    noise, scan, own = files("", "", noise=narrow)
    measured = files("", "")[2]
    noise, scan, _ = files("", "", noise=narrow)
    with open_raw(noise) as raw:
        assert noise_origin(raw) == NoiseOrigin("noise file", "noise_7", 0.4)
    for line, other in zip(fitted(noise, scan), measured, strict=True):
        np.testing.assert_allclose(line.data, other.data, rtol=1e-5)
    assert own[0].sample_time_us == 7.5


def test_lines_of_unknown_dwell_time_are_not_scaled(files):
    unknown = replace(SCAN, noise_bandwidth=0.4, noise_dwell_us=0.0)
    noise, scan, _ = files("", "", noise=unknown)
    with open_raw(noise) as raw:
        expected = [line.data.tobytes() for line in raw.items()]
    assert [line.data.tobytes() for line in fitted(noise, scan)] == expected


def test_lines_that_are_not_marked_are_all_noise(files, tmp_path, raw_file_of):
    noise, scan, lines = files("", "")
    for line in lines:
        line.clearAllFlags()
    with open_raw(noise) as raw:
        header = raw.header
    found = fitted(raw_file_of(tmp_path / "unmarked.h5", header, lines), scan)
    assert len(found) == 5
    assert all(line.is_flag_set(NOISE) for line in found)


def test_noise_lines_of_other_channels_are_left_out_and_told(files, tmp_path, raw_file_of, caplog):
    noise, scan, lines = files("", "")
    with open_raw(noise) as raw:
        header = raw.header
    mixed = raw_file_of(tmp_path / "mixed.h5", header, [*ordered(lines, (0, 1)), *lines])
    assert [line.data.tobytes() for line in fitted(mixed, scan)] == [line.data.tobytes() for line in lines]
    assert "lines left out: the noise scan has 2 channels and the image lines 4" in caplog.text


@pytest.mark.slow
def test_other_lines_of_a_noise_file_do_not_count(files, tmp_path, raw_file_of, noise_measurement):
    _, scan, _ = files("", "")
    whole = raw_file_of(tmp_path / "whole.h5", *noise_measurement(SCAN))
    assert len(fitted(whole, scan)) == 5


def test_a_noise_file_without_lines(files, tmp_path, raw_file_of, noise_measurement):
    _, scan, _ = files("", "")
    with pytest.raises(InputError, match=r"no 'data'|expected a noise scan, found no lines"):
        fitted(raw_file_of(tmp_path / "empty.h5", noise_measurement(SCAN)[0], []), scan)


def test_channels_of_the_first_line_of_an_image(files):
    noise, scan, _ = files("ABCD", "DB", active=(3, 1))
    with open_raw(scan) as raw:
        found = image_channels(raw)
        assert (found.names, found.n) == (("D", "B"), 2)
    with open_raw(noise) as raw:
        assert image_channels(raw) is None
