"""What a real Gadgetron server and the stock client put on the wire."""

import io
from pathlib import Path

import pytest

from nilatron.pipelines.wire import Close, Decoder, FileSource, encode, read_message

FOLDER = Path(__file__).resolve().parents[4] / "shared" / "wire"
FILES = sorted(FOLDER.glob("*.bin"))

pytestmark = pytest.mark.shared


@pytest.fixture(params=FILES or [None], ids=lambda path: path.stem if path else "absent")
def recorded(request):
    if request.param is None:
        pytest.skip("shared/wire is not beside the checkout")
    return request.param.read_bytes()


def test_a_recording_is_read_to_its_last_byte_and_written_again_unchanged(recorded):
    decoder = Decoder()
    messages = list(decoder.feed(recorded))
    decoder.finish()
    assert isinstance(messages[-1], Close)
    assert b"".join(b"".join(encode(message)) for message in messages) == recorded


def test_a_blocking_reader_finds_the_same_messages(recorded):
    source = FileSource(io.BytesIO(recorded))
    again = b""
    while (message := read_message(source)) is not None:
        again += b"".join(encode(message))
    assert again == recorded
