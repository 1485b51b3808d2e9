"""Noise in front of a stream's items: for lines, for buckets; its place."""

import ismrmrd
import numpy as np
import pytest

from nilatron.gadgets.known_noise import NoiseCovariance, NoiseOrigin
from nilatron.gadgets.stock.types import AcquisitionBucket
from nilatron.pipelines.files.header import parse_header
from nilatron.pipelines.stream.noise import NoiseTap, is_noise, with_noise
from nilatron.pipelines.stream.recorded import RecordedNoise


@pytest.fixture
def noise(tmp_path):
    covariance = NoiseCovariance(2 * np.eye(3, dtype=np.complex128), 500, 5.0, NoiseOrigin("noise file"))
    return RecordedNoise(tmp_path / "noise.cov", covariance)


def test_the_noise_goes_before_the_first_line_of_an_image(noise, scan):
    header = parse_header(scan[0])
    found = list(with_noise(scan[1], noise, header))
    own = [item for item in scan[1] if not is_noise(item)]
    (place,) = [place for place, item in enumerate(found) if is_noise(item)]
    assert isinstance(found[place + 1], ismrmrd.Acquisition)
    assert all(isinstance(item, ismrmrd.Waveform) for item in found[:place])
    assert [id(item) for item in found if not is_noise(item)] == [id(item) for item in own]


def test_the_noise_goes_before_a_bucket(noise, scan):
    bucket = AcquisitionBucket()
    found = list(with_noise([bucket], noise, parse_header(scan[0])))
    assert [is_noise(item) for item in found] == [True, False]


def test_a_stream_without_a_line_of_an_image_gets_no_noise(noise, scan):
    lines = [item for item in scan[1] if is_noise(item)]
    assert list(with_noise(lines, noise, parse_header(scan[0]))) == []


def test_the_tap_changes_nothing(scan):
    items = list(scan[1])
    items[0] = ismrmrd.Acquisition(items[0].getHead(), np.full_like(items[0].data, np.nan))
    assert [id(item) for item in NoiseTap().watch(items, parse_header(scan[0]))] == [id(item) for item in items]
