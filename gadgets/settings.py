"""Settings of a gadget: a frozen dataclass, filled from names and texts (XML properties, command line, JSON)."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from nilatron.core.bounds import check_bounds
from nilatron.core.errors import BadInputError

T = TypeVar("T")

TRUE_WORDS, FALSE_WORDS = {"true", "yes", "on", "1"}, {"false", "no", "off", "0"}


class SettingsError(BadInputError):
    """A property that the gadget does not have, or a value that it cannot use."""


def from_properties(settings_class: type[T], properties: Mapping[str, str], gadget: str) -> T:
    """Fill the dataclass `settings_class` from texts, field by field, by the fields' types.

    Parameters
    ----------
    settings_class
        A dataclass whose fields are str, bool, int, float, an optional of these, or a tuple of str (comma separated).
    properties
        Names and texts; names that are absent keep their default.
    gadget
        Named in errors.

    Raises
    ------
    SettingsError
        For an unknown name, a text that does not parse, or a value that the dataclass itself refuses.
    """
    hints, fields = get_type_hints(settings_class), property_fields(settings_class)
    values: dict[str, Any] = {}
    for name, text in properties.items():
        if name not in fields:
            raise SettingsError(f"{gadget} has no property {name!r}; it has: {', '.join(sorted(set(fields.values())))}")
        if fields[name] in values:
            raise SettingsError(f"{gadget}: property {name!r} is {fields[name]!r}, which is given twice")
        try:
            values[fields[name]] = parse(text, hints[fields[name]])
        except ValueError as error:
            raise SettingsError(f"{gadget}: property {name!r} cannot be {text!r}: {error}") from error
    try:
        made = settings_class(**values)
        check_bounds(made)
        return made
    except ValueError as error:
        raise SettingsError(f"{gadget}: {error}") from error


def property_fields(settings_class: type[Any]) -> dict[str, str]:
    """The field of each property name: its own, and the one that it had before (metadata `formerly`)."""
    fields = dataclasses.fields(settings_class)
    earlier = {f.metadata["formerly"]: f.name for f in fields if "formerly" in f.metadata}
    return {f.name: f.name for f in fields} | earlier


def parse(text: str, kind: Any) -> Any:
    """The value of `text` as `kind`; raises ValueError that says what was expected."""
    text = text.strip()
    if get_origin(kind) in (Union, types.UnionType):
        if text.lower() in ("", "none", "auto"):
            return None
        return parse(text, next(arg for arg in get_args(kind) if arg is not type(None)))
    if get_origin(kind) is tuple:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if kind is bool:
        return parse_bool(text)
    if kind is int or kind is float:
        try:
            return kind(text)
        except ValueError as error:
            raise ValueError("expected a whole number" if kind is int else "expected a number") from error
    return text


def parse_bool(text: str) -> bool:
    """True or false in the words that Gadgetron chains use."""
    if text.lower() in TRUE_WORDS:
        return True
    if text.lower() in FALSE_WORDS:
        return False
    raise ValueError("expected true or false")
