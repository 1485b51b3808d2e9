"""Whole streams: the bytes that came go out again; ends, marks and versions."""

import io

import pytest

from nilatron.pipelines.mrd2.protocol import Reader, Writer
from nilatron.pipelines.wire import LimitError, MalformedError, TruncatedError, UnsendableError, UnsupportedError


def copied(data):
    reader, out = Reader(io.BytesIO(data)), io.BytesIO()
    writer = Writer(out, reader.model)
    writer.value("header", reader.value("header"))
    for item in reader.items("data"):
        writer.item("data", item)
    writer.end_items()
    return out.getvalue()


def test_what_is_read_is_written_as_the_same_bytes(small_model, scan, written):
    data = written(small_model, *scan)
    assert copied(data) == data


def test_items_may_come_in_blocks(small_model, scan, written):
    data = written(small_model, scan[0], scan[1][:1])
    begin, item = data[: written(small_model, scan[0], []).__len__() - 1], b""
    item = data[len(begin) + 1 : -1]
    reader = Reader(io.BytesIO(begin + b"\2" + 2 * item + b"\1" + item + b"\0"))
    reader.value("header")
    assert len(list(reader.items("data"))) == 3


def test_a_stream_without_its_end_is_told_after_its_items(small_model, scan, written):
    data = written(small_model, scan[0], scan[1][:3])
    reader = Reader(io.BytesIO(data[:-1]))
    reader.value("header")
    items = reader.items("data")
    assert len([next(items) for _ in range(3)]) == 3
    with pytest.raises(TruncatedError, match="mark of the end"):
        next(items)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", TruncatedError),
        (b"yordl\1\0\0\0", MalformedError),
        (b"yardl\2\0\0\0", UnsupportedError),
        (b"yardl\1\0\0\0\xff\xff\xff\x7f", LimitError),
        (b"yardl\1\0\0\0\1\xff", MalformedError),
        (b"yardl\1\0\0\0\2{}", MalformedError),
    ],
)
def test_what_is_no_stream_is_refused(data, error):
    with pytest.raises(error):
        Reader(io.BytesIO(data))


def test_steps_come_in_their_order(small_model, scan, written):
    reader = Reader(io.BytesIO(written(small_model, *scan)))
    with pytest.raises(UnsupportedError, match="in this place"):
        next(reader.items("data"))
    with pytest.raises(UnsupportedError, match="no 'body'"):
        reader.value("body")


def test_an_item_that_cannot_be_written_leaves_the_stream_whole(small_model):
    out = io.BytesIO()
    writer = Writer(out, small_model)
    before = out.getvalue()
    with pytest.raises(UnsendableError):
        writer.item("data", 3)
    with pytest.raises(UnsendableError):
        writer.value("header", {"encoding": [{"encodedSpace": 3}]})
    assert out.getvalue() == before
