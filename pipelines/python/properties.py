"""The properties of a chain's node as Python values, under the names that they have in the XML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from nilatron.gadgets.settings import SettingsError

Property: TypeAlias = str | float | bool | Sequence[str] | None  # an int is a float to type checkers


def texts_of(properties: Mapping[str, Property]) -> dict[str, str]:
    """The properties as texts, as XML has them; None is "auto".

    Raises
    ------
    SettingsError
        For a value that no property can have.
    """
    return {name: _text_of(name, value) for name, value in properties.items()}


def _text_of(name: str, value: Property) -> str:
    if value is None:
        return "auto"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value)
    if isinstance(value, Sequence) and all(isinstance(word, str) for word in value):
        return ",".join(value)
    raise SettingsError(
        f"property {name!r} takes a number, a text, true or false, or texts; got {type(value).__name__}"
    )
