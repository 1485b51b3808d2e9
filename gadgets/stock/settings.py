"""Properties of a gadget in a chain, `name="value"`, as a frozen dataclass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

_Settings = TypeVar("_Settings")
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


class PropertyError(ValueError):
    """A property of a gadget that is unknown or has an impossible value."""


def from_properties(kind: type[_Settings], properties: Mapping[str, str]) -> _Settings:
    """Make the gadget `kind`, a frozen dataclass with one field per property, from the strings of a chain.

    Raises
    ------
    PropertyError
        Names gadget and property, and lists the known properties or the allowed values.
    """
    hints = get_type_hints(kind)
    known = {entry.name: hints[entry.name] for entry in fields(kind)}  # type: ignore[arg-type]
    values = {}
    for name, text in properties.items():
        if name not in known:
            listed = ", ".join(known) if known else "it has none"
            raise PropertyError(f"{kind.__name__} has no property {name!r}; known properties: {listed}")
        try:
            values[name] = _convert(text, known[name])
        except ValueError as error:
            raise PropertyError(f"{kind.__name__}, property {name!r}: {error}, not {text!r}") from error
    try:
        return kind(**values)
    except PropertyError:
        raise
    except ValueError as error:
        raise PropertyError(f"{kind.__name__}: {error}") from error


def _convert(text: str, hint: Any) -> object:
    """Convert the text of a property; the message of an error says what was expected."""
    if get_origin(hint) is Literal:
        allowed = get_args(hint)
        choice = text.strip().lower()
        if choice not in allowed:
            raise ValueError(f"expected one of {', '.join(repr(value) for value in allowed)}")
        return choice
    if hint is bool:
        if text.strip().lower() not in _BOOLEANS:
            raise ValueError("expected true or false")
        return _BOOLEANS[text.strip().lower()]
    if hint in (int, float):
        return _number(text, hint)
    return text


def _number(text: str, kind: type[int] | type[float]) -> int | float:
    expected = "a whole number" if kind is int else "a finite number"
    try:
        value = kind(text)
    except ValueError as error:
        raise ValueError(f"expected {expected}") from error
    if value != value or value in (float("inf"), float("-inf")):
        raise ValueError(f"expected {expected}")
    return value
