"""Types from a schema: every form; forms that are unknown, contain themselves, or are too large."""

import io
import json

import numpy as np
import pytest

from nilatron.pipelines.mrd2.byte_sink import ByteSink
from nilatron.pipelines.mrd2.byte_source import ByteSource
from nilatron.pipelines.mrd2.codec import Tagged
from nilatron.pipelines.mrd2.schema import SCHEMA_BYTES, parse_model
from nilatron.pipelines.wire import LimitError, MalformedError, UnsupportedError, WireError


def schema(form, *types):
    return json.dumps({"protocol": {"name": "P", "sequence": [{"name": "x", "type": form}]}, "types": list(types)})


def codec(form, *types):
    return parse_model(schema(form, *types)).step("x").codec


def back(of, value):
    sink = ByteSink()
    of.write(sink, value)
    return of.read(ByteSource(io.BytesIO(b"".join(bytes(part) for part in sink.finish()))))


PAIR = {
    "name": "Pair",
    "typeParameters": ["A", "B"],
    "fields": [{"name": "first", "type": "A"}, {"name": "second", "type": [None, "B"]}],
}
WORDS = {"name": "Words", "values": [{"symbol": "yes", "value": -3}, {"symbol": "no", "value": 4}]}
OTHER_NAME = {"name": "Texts", "type": {"vector": {"items": "string"}}}


@pytest.mark.parametrize(
    ("form", "types", "value"),
    [
        ([None, "int32"], [], -7),
        ([None, "int32", "string"], [], Tagged("string", "x")),
        ([{"tag": "a", "type": "int32", "explicitTag": True}, {"tag": "b", "type": "string"}], [], Tagged("a", 1)),
        ({"vector": {"items": "uint64"}}, [], [1, 1 << 60]),
        ({"vector": {"items": "string", "length": 2}}, [], ["", "b"]),
        ({"map": {"keys": "string", "values": {"vector": {"items": "int32"}}}}, [], {"a": [1], "b": []}),
        ({"name": "N.Pair", "typeArguments": ["int32", "string"]}, [PAIR], {"first": 1, "second": "x"}),
        ("Imported.Words", [WORDS], -3),
        ("N.Texts", [OTHER_NAME], ["a"]),
        (
            {"vector": {"items": {"name": "N.Pair", "typeArguments": ["N.Words", "N.Texts"]}}},
            [PAIR, WORDS, OTHER_NAME],
            [{"first": 4, "second": None}, {"first": -3, "second": ["u"]}],
        ),
    ],
)
def test_every_form_of_a_type(form, types, value):
    assert back(codec(form, *types), value) == value


@pytest.mark.parametrize("axes", [None, 2, [{"name": "a"}, {}], [{"length": 2}, {"length": 3}]])
def test_arrays_with_any_number_of_axes(axes):
    values = np.arange(6, dtype=np.int32).reshape(2, 3)
    of = codec({"array": {"items": "int32"} | ({} if axes is None else {"dimensions": axes})})
    np.testing.assert_array_equal(back(of, values), values)


def test_words_of_an_enumeration():
    assert codec("Words", WORDS).words == {-3: "yes", 4: "no"}


LOOP = {"name": "Loop", "fields": [{"name": "self", "type": [None, "N.Loop"]}]}
EMPTY = {"name": "Empty", "fields": []}
GROWN = {"name": "T", "typeArguments": [[None, "T"]]}
GROWING = [
    {
        "name": f"G{n}",
        "typeParameters": ["T"],
        "fields": [{"name": f"f{k}", "type": GROWN | {"name": f"G{n + 1}"}} for k in range(9)],
    }
    for n in range(9)
]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", MalformedError),
        ("[1]", MalformedError),
        ("{}", MalformedError),
        ('{"protocol": 3}', MalformedError),
        (schema("N.Missing"), UnsupportedError),
        (schema({"other": 1}), UnsupportedError),
        (schema([]), MalformedError),
        (schema("N.Loop", LOOP), LimitError),
        (schema({"vector": {"items": "N.Empty"}}, EMPTY), LimitError),
        (schema({"stream": {"items": "N.Empty"}}, EMPTY), LimitError),
        (schema({"array": {"items": "int8", "dimensions": [{"length": 1 << 40}]}}), LimitError),
        (schema({"vector": {"items": "int8", "length": -1}}), LimitError),
        (schema({"name": "G0", "typeArguments": ["int8"]}, *GROWING), WireError),
        (schema("F", {"name": "F", "base": "float32", "values": []}), UnsupportedError),
        ("[" * 100_000, LimitError),
        (" " * (SCHEMA_BYTES + 1), LimitError),
    ],
)
def test_what_is_no_schema_is_refused(text, error):
    with pytest.raises(error):
        parse_model(text)


def test_deep_types_are_refused():
    form = "int8"
    for _ in range(100):
        form = {"vector": {"items": form}}
    with pytest.raises(LimitError):
        codec(form)
