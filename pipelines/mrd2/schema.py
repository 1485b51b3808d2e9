"""The types of a stream, built from the schema that the stream itself carries.

A schema is JSON: `protocol` has the name of the protocol and its steps, `types` the definitions of all types with a name:
records (`fields`), enumerations and flags (`values`), and names for other types (`type`), some with parameters. Nothing of
it is known here but this grammar, so that every version of a model can be read, and answered.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nilatron.pipelines.mrd2.arrays import ArrayCodec
from nilatron.pipelines.mrd2.codec import PLAIN, Codec, IntegerCodec
from nilatron.pipelines.mrd2.compounds import (
    EnumCodec,
    ListCodec,
    MapCodec,
    OptionalCodec,
    RecordCodec,
    UnionCodec,
    check_takes_bytes,
)
from nilatron.pipelines.wire.errors import LimitError, MalformedError, UnsupportedError, WireError

SCHEMA_BYTES = 1 << 20
_DEPTH = 32  # of types within types
_TYPES = 1 << 14
_FIXED_ENTRIES = 1 << 16  # of an array whose shape the schema has


@dataclass(frozen=True)
class Step:
    """One part of a protocol: a value, or a stream of them."""

    name: str
    codec: Codec
    is_stream: bool


@dataclass(frozen=True)
class Model:
    """A schema: its text as it came, the protocol's name and steps."""

    text: str
    protocol: str
    steps: tuple[Step, ...]

    def step(self, name: str) -> Step:
        """The step of this name.

        Raises
        ------
        UnsupportedError
            When there is none.
        """
        for step in self.steps:
            if step.name == name:
                return step
        names = ", ".join(step.name for step in self.steps)
        raise UnsupportedError(f"the protocol {self.protocol!r} has no {name!r}; it has {names or 'nothing'}")


def parse_model(text: str) -> Model:
    """The model of a schema.

    Raises
    ------
    MalformedError, UnsupportedError, LimitError
        When it is no schema, has types of an unknown form, contains itself, or is too large.
    """
    if len(text) > SCHEMA_BYTES:
        raise LimitError(f"a schema of {len(text)} characters; expected {SCHEMA_BYTES} at most")
    try:
        schema = json.loads(text)
        protocol = schema["protocol"]
        builder = _Builder({definition["name"]: definition for definition in schema["types"]})
        steps = tuple(builder.step(step["name"], step["type"]) for step in protocol["sequence"])
        return Model(text, str(protocol["name"]), steps)
    except WireError:
        raise
    except RecursionError:
        raise LimitError("a schema whose parts are nested too deeply") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise MalformedError(f"this is no schema of a stream: {type(error).__name__}: {error}") from None


class _Builder:
    """Makes codecs of the types of one schema."""

    def __init__(self, definitions: Mapping[str, Any]) -> None:
        self._definitions = definitions
        self._made: dict[tuple[str, tuple[int, ...]], Codec] = {}
        self._n_types = 0

    def step(self, name: str, form: Any) -> Step:
        is_stream = isinstance(form, dict) and "stream" in form
        codec = self._of(form["stream"]["items"] if is_stream else form, {}, 0)
        return Step(name, check_takes_bytes(codec, "a stream") if is_stream else codec, is_stream)

    def _of(self, form: Any, given: Mapping[str, Codec], depth: int) -> Codec:
        """The codec of a type; `given` are the arguments for the parameters of the definition around it."""
        self._n_types += 1
        if depth > _DEPTH or self._n_types > _TYPES:
            raise LimitError("a schema with too many types, or a type that contains itself")
        if isinstance(form, str):
            return given.get(form) or PLAIN.get(form) or self._named(form, (), depth)
        if isinstance(form, list):
            return self._union(form, given, depth)
        if "typeArguments" in form:
            arguments = tuple(self._of(argument, given, depth + 1) for argument in form["typeArguments"])
            return self._named(form["name"], arguments, depth)
        for kind, make in (("vector", self._list), ("array", self._array), ("map", self._map)):
            if kind in form:
                return make(form[kind], given, depth + 1)
        raise UnsupportedError(f"a type of an unknown form: {json.dumps(form):.80}")

    def _named(self, name: str, arguments: tuple[Codec, ...], depth: int) -> Codec:
        key = (name, tuple(map(id, arguments)))
        if key not in self._made:
            self._made[key] = self._defined(name, arguments, depth)
        return self._made[key]

    def _defined(self, name: str, arguments: tuple[Codec, ...], depth: int) -> Codec:
        definition = self._definitions.get(name.rpartition(".")[2])
        if definition is None:
            raise UnsupportedError(f"the schema does not define {name:.80}")
        given = dict(zip(definition.get("typeParameters", ()), arguments, strict=True))
        if "fields" in definition:
            fields = {field["name"]: self._of(field["type"], given, depth + 1) for field in definition["fields"]}
            return RecordCodec(name, fields)
        if "values" in definition:
            return _enum(name, self._of(definition.get("base") or "int32", {}, depth + 1), definition["values"])
        return self._of(definition["type"], given, depth + 1)

    def _union(self, forms: list[Any], given: Mapping[str, Codec], depth: int) -> Codec:
        cases: list[tuple[str, Codec | None]] = []
        for form in forms:
            if form is None:
                cases.append(("null", None))
            elif isinstance(form, dict) and "tag" in form:
                cases.append((str(form["tag"]), self._of(form["type"], given, depth + 1)))
            else:
                cases.append((str(form), self._of(form, given, depth + 1)))
        if len(cases) == 2 and cases[0][1] is None and cases[1][1] is not None:
            return OptionalCodec(cases[1][1])
        if not cases:
            raise MalformedError("a union of no types")
        return UnionCodec(cases)

    def _list(self, form: Any, given: Mapping[str, Codec], depth: int) -> Codec:
        items, length = self._of(form["items"], given, depth), form.get("length")
        return ListCodec(check_takes_bytes(items, "a list"), None if length is None else _fixed((length,))[0])

    def _map(self, form: Any, given: Mapping[str, Codec], depth: int) -> Codec:
        keys = check_takes_bytes(self._of(form["keys"], given, depth), "a map")
        return MapCodec(keys, self._of(form["values"], given, depth))

    def _array(self, form: Any, given: Mapping[str, Codec], depth: int) -> Codec:
        items, axes = check_takes_bytes(self._of(form["items"], given, depth), "an array"), form.get("dimensions")
        if axes is None or isinstance(axes, int):
            return ArrayCodec(items, axes)
        lengths = [axis.get("length") for axis in axes]
        if None in lengths or not lengths:
            return ArrayCodec(items, len(lengths))
        return ArrayCodec(items, len(lengths), _fixed(lengths))


def _enum(name: str, base: Codec, values: Any) -> EnumCodec:
    if not isinstance(base, IntegerCodec):
        raise UnsupportedError(f"{name:.80} is an enumeration of values that are no whole numbers of variable length")
    return EnumCodec(base, {str(value["symbol"]): int(value["value"]) for value in values})


def _fixed(lengths: Any) -> tuple[int, ...]:
    shape = tuple(int(length) for length in lengths)
    if min(shape) < 0 or math.prod(shape) > _FIXED_ENTRIES:
        raise LimitError(f"an array of the fixed shape {shape!s:.80}")
    return shape
