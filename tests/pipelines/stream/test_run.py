"""Scans from stream to stream: images, ends, failures, noise, conversion."""

import io
import sys
from dataclasses import replace
from pathlib import Path

import ismrmrd
import numpy as np
import pytest
from ismrmrd.serialization import ProtocolDeserializer, ProtocolSerializer

from nilatron.gadgets.settings import SettingsError
from nilatron.pipelines.chain.find import ChainError
from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.files.disk import OutputError
from nilatron.pipelines.mrd2.schema import parse_model
from nilatron.pipelines.replay.run import replay
from nilatron.pipelines.replay.settings import ReplaySettings
from nilatron.pipelines.simulation.simulate import simulate
from nilatron.pipelines.stream import v1, v2
from nilatron.pipelines.stream.run import StreamSettings, convert, reconstruct
from nilatron.pipelines.wire import Close, Config, ConfigName, Error, Header, MalformedError, Text, encode

FUZZ = Path(__file__).resolve().parents[3] / "fuzz"
SETTINGS = StreamSettings("zero_filled")


def message_bytes(*messages):
    return b"".join(bytes(part) for message in messages for part in encode(message))


@pytest.fixture(params=["2.1", "2.2"])
def model(request):
    sys.path.insert(0, str(FUZZ))
    try:
        import mrd2_model
    finally:
        sys.path.remove(str(FUZZ))
    return parse_model(mrd2_model.schema(request.param))


def run(data, settings=SETTINGS, job=reconstruct):
    out = io.BytesIO()
    report = job(v1.Incoming(io.BytesIO(data)), v1.Outgoing(out), settings)
    return report, out.getvalue()


def as_mrd2(data, model):
    out = io.BytesIO()
    assert convert(v1.Incoming(io.BytesIO(data)), v2.Outgoing(out, model), SETTINGS).failure is None
    return out.getvalue()


def test_the_header_comes_back_first_and_the_end_last(stream_bytes, scan, messages_in, images_in):
    report, out = run(stream_bytes)
    assert (report.failure, report.n_sent, report.n_items) == (None, 2, len(scan[1]))
    assert messages_in(out)[0].content == scan[0]
    assert [image.slice for image in images_in(out)] == [0, 1]


@pytest.mark.slow
def test_images_are_those_of_a_replay(tmp_path, scan_settings, stream_bytes, images_in):
    raw, output = tmp_path / "raw.h5", tmp_path / "images.h5"
    simulate(raw, scan_settings)
    replay(ReplaySettings(raw, output, chain="cg_sense", output_group="images"))
    images = images_in(run(stream_bytes, StreamSettings("cg_sense"))[1])
    with ismrmrd.Dataset(str(output), "images", False) as dataset:
        expected = [dataset.read_image("image_1", number) for number in range(2)]
    for image, other in zip(images, expected, strict=True):
        assert image.data.tobytes() == other.data.tobytes()
        assert dict(image.meta) == dict(other.meta)
        head, reference = image.getHead(), other.getHead()
        head.attribute_string_len = reference.attribute_string_len = 0
        assert bytes(head) == bytes(reference)


def test_the_library_of_ismrmrd_writes_the_input_and_reads_the_output(scan):
    file = io.BytesIO()
    with ProtocolSerializer(file) as serializer:
        serializer.serialize(ismrmrd.xsd.CreateFromDocument(scan[0]))
        for item in scan[1]:
            serializer.serialize(item)
    _, out = run(file.getvalue())
    with ProtocolDeserializer(io.BytesIO(out)) as deserializer:
        found = list(deserializer.deserialize())
    assert [type(item) for item in found[1:]] == [ismrmrd.Image, ismrmrd.Image]


@pytest.mark.parametrize("before", [ConfigName("other.xml"), Config(b"<configuration/>"), Text.of("hello")])
def test_configurations_in_front_of_the_header_are_taken_and_not_used(before, stream_bytes, images_in):
    report, out = run(message_bytes(before) + stream_bytes)
    assert report.failure is None
    assert len(images_in(out)) == 2


def test_data_in_front_of_the_header_are_refused(stream_bytes, scan):
    with pytest.raises(MalformedError, match="Acquisition came before the header"):
        run(message_bytes(scan[1][0]) + stream_bytes)


def test_a_stream_that_breaks_off_gives_the_images_before_and_says_so(stream_bytes, images_in):
    whole = [image.data.tobytes() for image in images_in(run(stream_bytes)[1])]
    report, out = run(stream_bytes[: -len(stream_bytes) // 10])
    assert (report.broken, report.n_sent) == (True, 1)
    assert "ended inside a message" in report.failure
    assert [image.data.tobytes() for image in images_in(out)] == whole[:1]


def test_a_stream_without_close_is_not_complete(stream_bytes, images_in):
    report, out = run(stream_bytes[:-2])
    assert (report.broken, "without CLOSE" in report.failure) == (True, True)
    assert images_in(out)


def test_an_error_of_the_chain_in_front_is_passed_on(scan, images_in):
    report, out = run(message_bytes(Header(scan[0]), *scan[1], Error.of("coil unplugged"), Close()))
    assert (report.broken, "coil unplugged" in report.failure) == (False, True)
    images_in(out)


def test_a_stream_without_data_is_not_complete(scan, images_in):
    report, out = run(message_bytes(Header(scan[0]), Close()))
    assert (report.n_sent, images_in(out)) == (0, [])
    assert "no data" in report.failure


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        (StreamSettings("no_such_chain"), ChainError),
        (StreamSettings("zero_filled", {"no_such": "1"}), SettingsError),
    ],
)
def test_mistakes_of_the_user_are_told_as_such(settings, error, stream_bytes):
    with pytest.raises((error, ChainError)):
        run(stream_bytes, settings)


def test_a_header_that_cannot_be_used_is_refused():
    with pytest.raises(InputError, match="no <encoding>"):
        run(message_bytes(Header(b"<ismrmrdHeader/>"), Close()))


def test_an_output_that_nobody_reads_ends_the_run(stream_bytes):
    class Broken(io.BytesIO):
        def write(self, data):
            if self.tell() > 5000:
                raise OutputError("nobody reads it any more")
            return super().write(data)

    with pytest.raises(OutputError):
        reconstruct(v1.Incoming(io.BytesIO(stream_bytes)), v1.Outgoing(Broken()), SETTINGS)


def test_mrd_v2_gives_the_images_of_v1_and_answers_in_its_schema(stream_bytes, model, images_in):
    expected = images_in(run(stream_bytes)[1])
    incoming, out = v2.Incoming(io.BytesIO(as_mrd2(stream_bytes, model))), io.BytesIO()
    report = reconstruct(incoming, v2.Outgoing(out, incoming.model, incoming.header_record), SETTINGS)
    assert report.failure is None
    answer = v2.Incoming(io.BytesIO(out.getvalue()))
    assert answer.model.text == model.text
    assert answer.header_record == incoming.header_record
    images = [answer.receive_some()[0] for _ in expected]
    assert isinstance(answer.receive_some()[0], Close)
    for image, other in zip(images, expected, strict=True):
        np.testing.assert_array_equal(image.data, other.data)
        assert dict(image.meta) == dict(other.meta)


def test_v1_to_v2_to_v1_is_the_same_stream(stream_bytes, scan, model, messages_in):
    out = io.BytesIO()
    convert(v2.Incoming(io.BytesIO(as_mrd2(stream_bytes, model))), v1.Outgoing(out), SETTINGS)
    header, *items, end = messages_in(out.getvalue())
    assert message_bytes(*items, end) == message_bytes(*scan[1], Close())
    found, expected = (ismrmrd.xsd.CreateFromDocument(xml) for xml in (header.content, scan[0]))
    expected.acquisitionSystemInformation.systemVendor, expected.waveformInformation = (
        None,
        [],
    )  # not in the small model
    assert found == expected


def test_what_a_format_has_no_place_for_is_left_out_and_told(scan, model, caplog):
    data = message_bytes(Header(scan[0]), scan[1][0], Text.of("hello"), Close())
    out = io.BytesIO()
    report = convert(v1.Incoming(io.BytesIO(data)), v2.Outgoing(out, model), SETTINGS)
    assert (report.n_items, report.n_sent) == (2, 1)
    assert "MRD v2 has no Text" in caplog.text


def test_the_noise_of_a_stream_is_the_noise_of_another_one(tmp_path, stream_bytes, scan, images_in):
    path = tmp_path / "noise.cov"
    expected = images_in(run(stream_bytes, replace(SETTINGS, noise_out=path))[1])
    imaging = [item for item in scan[1] if not item_is_noise(item)]
    data = message_bytes(Header(scan[0]), *imaging, Close())
    report, out = run(data, replace(SETTINGS, noise=path))
    assert report.failure is None
    for image, other in zip(images_in(out), expected, strict=True):
        np.testing.assert_allclose(image.data, other.data, rtol=1e-5, atol=1e-5 * np.abs(other.data).max())
        assert image.meta["nilatron_noise_source"] == "noise file"


def item_is_noise(item):
    return isinstance(item, ismrmrd.Acquisition) and item.is_flag_set(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)


def test_a_stream_without_noise_has_no_noise_to_write(tmp_path, scan):
    imaging = [item for item in scan[1] if not item_is_noise(item)]
    report, _ = run(
        message_bytes(Header(scan[0]), *imaging, Close()), replace(SETTINGS, noise_out=tmp_path / "noise.cov")
    )
    assert "no noise line came" in report.failure
    assert not (tmp_path / "noise.cov").exists()
