"""Noise covariances out and back, in the unit of the scan's own stream."""

import io
from dataclasses import replace

import numpy as np
import pytest

from nilatron.gadgets.known_noise import NoiseCovariance, NoiseOrigin
from nilatron.pipelines.mrd2.noise import noise_model, read_noise, write_noise
from nilatron.pipelines.mrd2.protocol import Reader, Writer
from nilatron.pipelines.wire import MalformedError, UnsupportedError

MATRIX = np.array([[2, 1j], [-1j, 3]], np.complex128)
NOISE = NoiseCovariance(MATRIX, 4096, 7.5, NoiseOrigin("noise scan", "id", 0.793), ("A", "B"))


def written(noise, of_scan=None):
    file = io.BytesIO()
    write_noise(file, noise, noise_model(of_scan))
    return io.BytesIO(file.getvalue())


@pytest.mark.parametrize("with_model", [False, True])
def test_a_covariance_comes_back(with_model, small_model):
    found = read_noise(written(NOISE, small_model if with_model else None))
    np.testing.assert_array_equal(found.covariance, MATRIX)
    assert (found.n_samples, found.dwell_us, found.coil_names) == (4096, 7.5, ("A", "B"))
    assert found.origin.bandwidth_ratio == pytest.approx(0.793)


def test_the_unit_of_the_dwell_time_is_that_of_the_scan(small_model):
    in_microseconds = "sampleTimeUs" in small_model.text
    record = Reader(written(NOISE, small_model)).value("noiseCovariance")
    assert ("noiseDwellTimeUs" in record) == in_microseconds
    assert ("noiseDwellTimeNs" in record) != in_microseconds


def test_names_are_put_in_the_order_of_their_channels(small_model):
    record = {
        "coilLabels": [{"coilNumber": 1, "coilName": "B"}, {"coilNumber": 0, "coilName": "A"}],
        "sampleCount": 100,
        "matrix": MATRIX.astype(np.complex64),
    }
    file = io.BytesIO()
    Writer(file, noise_model(small_model)).value("noiseCovariance", record)
    found = read_noise(io.BytesIO(file.getvalue()))
    assert (found.coil_names, found.origin.bandwidth_ratio, found.dwell_us) == (("A", "B"), None, 0.0)


def test_what_is_no_covariance_is_refused(small_model):
    with pytest.raises(MalformedError, match="not finite"):
        read_noise(written(replace(NOISE, covariance=MATRIX * np.nan)))
    with pytest.raises(MalformedError, match="shape"):
        read_noise(written(replace(NOISE, covariance=np.ones((2, 3)))))
    file = io.BytesIO()
    Writer(file, small_model)
    with pytest.raises(UnsupportedError, match="MrdNoiseCovariance"):
        read_noise(io.BytesIO(file.getvalue()))
