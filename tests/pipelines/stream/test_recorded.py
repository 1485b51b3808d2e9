"""Streams and covariances in files, replayed as raw files are."""

import io
import sys
from dataclasses import replace
from pathlib import Path

import ismrmrd
import numpy as np
import pytest

from nilatron.gadgets.known_noise import NoiseCovariance, NoiseOrigin
from nilatron.gadgets.noise.scan import NoiseScan
from nilatron.pipelines.check import check_file
from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.files.raw import RawFile
from nilatron.pipelines.mrd2.codec import Tagged
from nilatron.pipelines.mrd2.header import header_record
from nilatron.pipelines.mrd2.items import v2_item
from nilatron.pipelines.mrd2.noise import noise_model, write_noise
from nilatron.pipelines.mrd2.protocol import Reader, Writer
from nilatron.pipelines.mrd2.schema import parse_model
from nilatron.pipelines.replay.run import replay
from nilatron.pipelines.replay.settings import ReplaySettings
from nilatron.pipelines.simulation.simulate import simulate
from nilatron.pipelines.stream import v1, v2
from nilatron.pipelines.stream.recorded import RecordedNoise, RecordedStream, open_noise, open_scan
from nilatron.pipelines.stream.run import StreamSettings, convert

FUZZ = Path(__file__).resolve().parents[3] / "fuzz"


@pytest.fixture(params=["v1", "2.1", "2.2"])
def recorded(request, tmp_path, stream_bytes):
    """The scan as a stream in a file."""
    path = tmp_path / "scan.mrd"
    if request.param == "v1":
        path.write_bytes(stream_bytes)
        return path
    sys.path.insert(0, str(FUZZ))
    try:
        import mrd2_model
    finally:
        sys.path.remove(str(FUZZ))
    out = io.BytesIO()
    outgoing = v2.Outgoing(out, parse_model(mrd2_model.schema(request.param)))
    convert(v1.Incoming(io.BytesIO(stream_bytes)), outgoing, StreamSettings())
    path.write_bytes(out.getvalue())
    return path


def test_a_recorded_stream_is_read_like_a_raw_file(recorded, scan):
    lines = [item for item in scan[1] if isinstance(item, ismrmrd.Acquisition)]
    with open_scan(recorded) as raw:
        assert isinstance(raw, RecordedStream)
        assert raw.n_acquisitions == len(lines)
        assert raw.heads().tobytes() == b"".join(bytes(line.getHead()) for line in lines)
        for _ in range(2):  # again from its beginning
            assert [item.data.tobytes() for item in raw.items()] == [item.data.tobytes() for item in scan[1]]
        assert raw.header.encoding[0].encodedSpace.matrixSize.y == 20


@pytest.mark.slow
def test_a_replay_of_it_gives_the_images_of_the_raw_file(recorded, tmp_path, scan_settings):
    simulate(tmp_path / "raw.h5", scan_settings)
    pixels = []
    for raw in (tmp_path / "raw.h5", recorded):
        output = raw.with_suffix(".images.h5")
        report = replay(ReplaySettings(raw, output, chain="zero_filled", output_group="g"))
        assert report.complete
        with ismrmrd.Dataset(str(output), "g", False) as dataset:
            pixels.append([dataset.read_image("image_1", number).data.tobytes() for number in range(2)])
    assert pixels[0] == pixels[1]


def test_a_check_finds_in_it_what_it_finds_in_the_raw_file(recorded, tmp_path, scan_settings):
    simulate(tmp_path / "raw.h5", scan_settings)
    assert check_file(recorded) == check_file(tmp_path / "raw.h5")


def test_other_files_are_raw_files(tmp_path, scan_settings):
    simulate(tmp_path / "raw.h5", scan_settings)
    for open_file in (open_scan, open_noise):
        with open_file(tmp_path / "raw.h5") as raw:
            assert isinstance(raw, RawFile)
    (tmp_path / "text").write_text("no scan")
    for name, words in (("text", "not an HDF5 file"), ("missing", "no such file"), (".", "not a file")):
        with pytest.raises(InputError, match=words):
            open_scan(tmp_path / name)


def test_faults_of_a_stream_name_the_file(tmp_path, recorded):
    data = recorded.read_bytes()
    cut = tmp_path / "cut.mrd"
    cut.write_bytes(data[: len(data) // 2])
    with open_scan(cut) as raw, pytest.raises(InputError, match=r"cut\.mrd: .*end"):
        raw.heads()
    cut.write_bytes(data[:8])
    with pytest.raises(InputError, match=r"cut\.mrd"):
        open_scan(cut)


def test_a_phase_of_each_sample_is_refused_and_other_kinds_are_told(recorded, tmp_path, scan, caplog):
    with recorded.open("rb") as file:
        if file.read(5) != b"yardl":
            pytest.skip("MRD v1 has no such thing")
        file.seek(0)
        model = Reader(file).model
    for phase, words in ((np.ones(1, np.float32), "a phase of each sample"), (None, "")):
        with (tmp_path / "made.mrd").open("wb") as file:
            writer = Writer(file, model)
            writer.value("header", header_record(scan[0], model.step("header").codec))
            writer.item("data", Tagged("arrayComplexFloat", np.zeros((2, 2), np.complex64)))
            line = v2_item(scan[1][0])
            writer.item("data", Tagged(line.tag, line.value | {"phase": phase}))
            writer.end_items()
        with open_scan(tmp_path / "made.mrd") as raw:
            if words and '[null,"Mrd.AcquisitionPhase"]' in model.text:
                with pytest.raises(InputError, match=words):
                    raw.heads()
            else:
                assert raw.n_acquisitions == 1
                assert "ArrayComplexFloat items, which MRD v1 has not" in caplog.text.replace("arrayC", "ArrayC")


NOISE = NoiseCovariance(
    np.array([[2, 0.5j, 0], [-0.5j, 3, 1], [0, 1, 1]], np.complex128),
    9999,
    7.5,
    NoiseOrigin("x", "", 0.7),
    tuple("ABC"),
)


def noise_file(path, noise=NOISE):
    with path.open("wb") as file:
        write_noise(file, noise, noise_model(None))
    return path


def test_a_covariance_is_a_noise_scan_that_has_it(tmp_path):
    with open_noise(noise_file(tmp_path / "noise.cov")) as noise:
        assert isinstance(noise, RecordedNoise)
        (line,) = noise.items()
        sums = NoiseScan()
        sums.add(line, noise.header)
        assert (noise.n_acquisitions, noise.heads()["number_of_samples"].tolist()) == (1, [line.number_of_samples])
    ((key, found),) = sums.sums.items()
    assert key == (3, tuple("ABC"))
    covariance = found.covariance(NoiseOrigin("x"))
    np.testing.assert_allclose(covariance.covariance, NOISE.covariance, atol=3e-6)
    assert (covariance.dwell_us, covariance.fault) == (7.5, "")
    assert noise.header.acquisitionSystemInformation.relativeReceiverNoiseBandwidth == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("changed", "words"),
    [({"n_samples": 3}, "too uncertain"), ({"covariance": np.diag([1.0, -1.0, 1.0]).astype(complex)}, "eigenvalue")],
)
def test_covariances_that_are_none_are_refused(changed, words, tmp_path):
    with pytest.raises(InputError, match=words):
        open_noise(noise_file(tmp_path / "noise.cov", replace(NOISE, **changed)))


def test_a_stream_of_a_scan_is_a_noise_scan_as_well(recorded):
    with open_noise(recorded) as noise:
        assert isinstance(noise, RecordedStream)
