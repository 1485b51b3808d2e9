"""Values go out and come back; known bytes; values that do not fit are refused."""

import io

import numpy as np
import pytest

from nilatron.pipelines.mrd2.arrays import ArrayCodec
from nilatron.pipelines.mrd2.byte_sink import ByteSink
from nilatron.pipelines.mrd2.byte_source import ByteSource
from nilatron.pipelines.mrd2.codec import PLAIN, IntegerCodec, Tagged
from nilatron.pipelines.mrd2.compounds import (
    EnumCodec,
    ListCodec,
    MapCodec,
    OptionalCodec,
    RecordCodec,
    UnionCodec,
    check_takes_bytes,
)
from nilatron.pipelines.mrd2.varints import folded, unfolded, varint_bytes, varints_in
from nilatron.pipelines.wire import LimitError, Limits, MalformedError, TruncatedError, UnsendableError

EDGES = np.array([0, 1, 127, 128, 16383, 16384, (1 << 32) - 1, 1 << 63, (1 << 64) - 1], np.uint64)


def bytes_of(codec, value):
    sink = ByteSink()
    codec.write(sink, value)
    return b"".join(bytes(part) for part in sink.finish())


def back(codec, data, limits=None):
    return codec.read(ByteSource(io.BytesIO(data), limits or Limits()))


@pytest.mark.parametrize(
    ("codec", "value", "data"),
    [
        (PLAIN["uint32"], 300, b"\xac\x02"),
        (PLAIN["int16"], -1, b"\x01"),
        (PLAIN["int64"], -(1 << 63), b"\xff" * 9 + b"\x01"),
        (PLAIN["uint8"], 200, b"\xc8"),
        (PLAIN["bool"], True, b"\x01"),
        (PLAIN["float32"], 1.0, b"\0\0\x80\x3f"),
        (PLAIN["complexfloat32"], 1j, b"\0\0\0\0\0\0\x80\x3f"),
        (PLAIN["string"], "é", b"\x02\xc3\xa9"),
        (PLAIN["date"], 1, b"\x02"),
        (OptionalCodec(PLAIN["uint32"]), None, b"\0"),
        (OptionalCodec(PLAIN["uint32"]), 5, b"\1\5"),
        (UnionCodec([("null", None), ("a", PLAIN["int32"])]), None, b"\0"),
        (UnionCodec([("a", PLAIN["int32"]), ("b", PLAIN["string"])]), Tagged("b", "x"), b"\1\1x"),
        (ListCodec(PLAIN["uint32"], None), [1, 2], b"\2\1\2"),
        (ListCodec(PLAIN["string"], 2), ["a", ""], b"\1a\0"),
        (MapCodec(PLAIN["string"], PLAIN["int32"]), {"k": 1}, b"\1\1k\2"),
        (EnumCodec(IntegerCodec("int32"), {"one": 1}), 1, b"\2"),
        (RecordCodec("R", {"a": PLAIN["uint8"], "b": PLAIN["string"]}), {"a": 1, "b": "x"}, b"\1\1x"),
    ],
)
def test_values_have_the_bytes_of_the_format(codec, value, data):
    assert bytes_of(codec, value) == data
    assert back(codec, data) == value
    with pytest.raises(TruncatedError):
        back(codec, data[:-1])


def test_numbers_of_variable_length_one_by_one_and_together():
    data = varint_bytes(EDGES)
    source = ByteSource(io.BytesIO(data.tobytes()))
    assert [source.varint() for _ in EDGES] == EDGES.tolist()
    found, n_bytes = varints_in(data, 100)
    assert n_bytes == len(data)
    np.testing.assert_array_equal(found, EDGES)
    assert varints_in(data[:-1], 100)[1] == n_bytes - 10


def test_many_numbers_across_the_pieces_of_a_stream():
    values = np.random.default_rng(1).integers(0, 1 << 40, 50_000, np.uint64)
    source = ByteSource(io.BytesIO(varint_bytes(values).tobytes()))
    np.testing.assert_array_equal(source.varints(len(values), "numbers"), values)


def test_folding_keeps_small_numbers_small():
    values = np.array([0, -1, 1, -2, (1 << 63) - 1, -(1 << 63)])
    assert folded(values)[:4].tolist() == [0, 1, 2, 3]
    np.testing.assert_array_equal(unfolded(folded(values)), values)


@pytest.mark.parametrize("data", [b"\xff" * 9 + b"\x02", b"\xff" * 11])
def test_numbers_of_more_than_64_bits_are_refused(data):
    with pytest.raises(MalformedError, match="64 bits"):
        ByteSource(io.BytesIO(data)).varint()
    with pytest.raises(MalformedError, match="64 bits"):
        varints_in(np.frombuffer(data, np.uint8), 1)


@pytest.mark.parametrize("name", ["uint16", "int16", "uint32", "int64", "uint8", "bool", "float32", "complexfloat64"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 4), (2, 3, 4)])
def test_arrays_come_back(name, shape):
    codec = ArrayCodec(PLAIN[name], None)
    values = np.random.default_rng(2).integers(0, 2, shape).astype(PLAIN[name].dtype) * PLAIN[name].dtype.type(1)
    found = back(codec, bytes_of(codec, values))
    assert (found.dtype, found.shape) == (values.dtype, shape)
    np.testing.assert_array_equal(found, values)
    if found.size:
        found.reshape(-1)[0] = 1  # writable


def test_arrays_of_records_and_of_a_fixed_shape():
    records = ArrayCodec(RecordCodec("R", {"a": PLAIN["int32"]}), 2)
    values = np.empty((1, 2), object)
    values[0] = [{"a": 1}, {"a": -1}]
    assert bytes_of(records, values) == b"\1\2\2\1"
    np.testing.assert_array_equal(back(records, b"\1\2\2\1"), values)
    fixed = ArrayCodec(PLAIN["uint8"], 1, (3,))
    assert bytes_of(fixed, np.array([1, 2, 3], np.uint8)) == b"\1\2\3"
    with pytest.raises(UnsendableError, match="shape"):
        bytes_of(fixed, np.zeros(2, np.uint8))


def test_a_record_is_written_from_the_fields_that_its_schema_has():
    codec = RecordCodec("R", {"a": PLAIN["uint8"], "b": OptionalCodec(PLAIN["string"])})
    assert bytes_of(codec, {"a": 7, "unknown": 3}) == b"\7\0"
    assert back(codec, bytes_of(codec, codec.default())) == {"a": 0, "b": None}


@pytest.mark.parametrize(
    ("codec", "value"),
    [
        (PLAIN["uint16"], 65536),
        (PLAIN["uint32"], -1),
        (PLAIN["uint32"], "x"),
        (PLAIN["float32"], "x"),
        (PLAIN["string"], 1),
        (UnionCodec([("a", PLAIN["int32"])]), Tagged("b", 1)),
        (ListCodec(PLAIN["uint8"], 2), [1]),
        (RecordCodec("R", {"a": PLAIN["uint8"]}), 3),
        (ArrayCodec(PLAIN["float32"], 1), np.zeros(2, np.complex64)),
        (ArrayCodec(PLAIN["float32"], 1), np.zeros((2, 2), np.float32)),
    ],
)
def test_values_that_do_not_fit_cannot_be_sent(codec, value):
    with pytest.raises(UnsendableError):
        bytes_of(codec, value)


@pytest.mark.parametrize(
    ("codec", "data"),
    [
        (PLAIN["uint16"], b"\x80\x80\x04"),
        (PLAIN["bool"], b"\2"),
        (PLAIN["string"], b"\1\xff"),
        (OptionalCodec(PLAIN["uint8"]), b"\2\0"),
        (UnionCodec([("a", PLAIN["uint8"])]), b"\1\0"),
        (ArrayCodec(PLAIN["uint16"], 1), b"\1\x80\x80\x04"),
    ],
)
def test_bytes_that_are_no_such_value_are_refused(codec, data):
    with pytest.raises(MalformedError):
        back(codec, data)


@pytest.mark.parametrize(
    "codec",
    [
        ListCodec(PLAIN["uint32"], None),
        ListCodec(PLAIN["string"], None),
        MapCodec(PLAIN["string"], PLAIN["string"]),
        ArrayCodec(PLAIN["complexfloat32"], 1),
        ArrayCodec(PLAIN["uint16"], 1),
        PLAIN["string"],
    ],
)
def test_numbers_of_values_are_within_limits_before_they_are_made(codec):
    class Endless(io.RawIOBase):
        """A pipe that never ends."""

        def readable(self):
            return True

        def readinto(self, buffer):
            buffer[:] = bytes(len(buffer))
            return len(buffer)

    limits = Limits(message_bytes=1 << 16, header_bytes=1 << 16)
    source = ByteSource(io.BufferedReader(Endless()), limits, b"\xff\xff\xff\xff\x0f")
    with pytest.raises(LimitError):
        codec.read(source)


def test_a_file_that_is_too_short_is_told_before_memory_is_taken(tmp_path):
    path = tmp_path / "short"
    path.write_bytes(b"\xff\xff\xff\x7f" + bytes(8))
    with path.open("rb") as file, pytest.raises(TruncatedError, match="the file ends inside"):
        ArrayCodec(PLAIN["complexfloat32"], 1).read(ByteSource(file))


def test_values_that_take_no_bytes_are_refused():
    with pytest.raises(LimitError, match="no bytes"):
        check_takes_bytes(RecordCodec("Empty", {}), "a list")
