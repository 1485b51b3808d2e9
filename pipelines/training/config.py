"""Settings from and to TOML: a file, or single NAME=VALUE words."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.files.toml import read_toml_file
from nilatron.pipelines.training.settings import TrainingError, TrainSettings

T = TypeVar("T")

KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


def merge(settings: T, values: Mapping[str, object], source: str, prefix: str = "") -> T:
    """`settings` with `values` in their place, nested as the dataclasses are.

    Parameters
    ----------
    settings
        A dataclass whose fields are bool, int, float, str, tuples of these, or such dataclasses.
    values
        As TOML or JSON have them: lists for tuples, mappings for dataclasses.
    source
        Where the values come from, for errors.

    Raises
    ------
    TrainingError
        For an unknown name, a value of another type, or one that the dataclass refuses.
    """
    kinds = get_type_hints(type(settings))
    names = [item.name for item in fields(settings)]  # type: ignore[arg-type]
    changes: dict[str, Any] = {}
    for name, value in values.items():
        if name not in names:
            raise TrainingError(
                f"{source}: no setting {prefix + name!r}; there are: {', '.join(map(prefix.__add__, names))}"
            )
        current = getattr(settings, name)
        if not is_dataclass(current):
            changes[name] = _checked(value, kinds[name], f"{source}: {prefix}{name}")
        elif isinstance(value, Mapping):
            changes[name] = merge(current, value, source, f"{prefix}{name}.")
        else:
            raise TrainingError(f"{source}: {prefix}{name} is a table of settings, got {value!r}")
    try:
        return replace(settings, **changes)  # type: ignore[type-var]
    except ValueError as error:
        raise TrainingError(f"{source}: {error}") from error


def _checked(value: object, kind: Any, name: str) -> object:
    if get_origin(kind) is tuple:
        return _checked_tuple(value, get_args(kind), name)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not kind:
        raise TrainingError(f"{name} must be {KINDS[kind]}, got {value!r}")
    return value


def _checked_tuple(value: object, kinds: tuple[Any, ...], name: str) -> tuple[object, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise TrainingError(f"{name} must be a list, got {value!r}")
    if kinds[-1] is Ellipsis:
        kinds = kinds[:1] * len(value)
    if len(value) != len(kinds):
        raise TrainingError(f"{name} must have {len(kinds)} values, got {list(value)}")
    return tuple(_checked(item, kind, name) for item, kind in zip(value, kinds, strict=True))


def read_toml(path: Path) -> dict[str, object]:
    """The tables of a TOML file.

    Raises
    ------
    TrainingError
        When it is missing or not TOML.
    """
    try:
        return read_toml_file(path)
    except InputError as error:
        raise TrainingError(str(error)) from error


def parse_assignments(words: Sequence[str]) -> dict[str, object]:
    """Words such as `batch_size=16` or `augment.scale=[0.5, 1.5]` as nested tables; what is no TOML value is a text.

    Raises
    ------
    TrainingError
        For a word that is not NAME=VALUE, or a name twice.
    """
    tables: dict[str, object] = {}
    for word in words:
        name, equals, text = word.partition("=")
        *parents, last = name.strip().split(".")
        if not equals or not last:
            raise TrainingError(f"a setting is given as NAME=VALUE, e.g. batch_size=16, got {word!r}")
        table = tables
        for parent in parents:
            inner = table.setdefault(parent, {})
            if not isinstance(inner, dict):
                raise TrainingError(f"the setting {parent!r} is given twice")
            table = inner
        if last in table:
            raise TrainingError(f"the setting {name.strip()!r} is given twice")
        table[last] = _value(text)
    return tables


def _value(text: str) -> object:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text


def to_toml(settings: TrainSettings) -> str:
    """All settings as TOML that `read_toml` and `merge` turn back into the same.

    Raises
    ------
    TrainingError
        When the extra `train` is not installed.
    """
    try:
        import tomli_w
    except ImportError as error:
        raise TrainingError(f"writing TOML needs another package ({error}): pip install 'nilatron[train]'") from error

    return tomli_w.dumps(asdict(settings))
