"""Settings of `nilatron serve` from a TOML file and from the environment, below the command line and above the defaults."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from nilatron.core.errors import BadInputError
from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.files.toml import read_toml_file

PREFIX = "NILATRON_SERVE_"
FILE_VARIABLE = f"{PREFIX}SETTINGS"  # names the file


class ServeSources(BaseSettings):
    """The options of `nilatron serve` under their own names, those that neither file nor environment sets being None."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    host: str | None = None
    port: int | None = None
    health_port: int | None = None
    device: str | None = None
    weights: str | None = None
    engine: str | None = None
    config_dir: Annotated[tuple[Path, ...] | None, NoDecode] = None
    max_scans: int | None = None
    max_scans_per_peer: int | None = None
    memory_mb: int | None = None
    noise_store: Path | None = None
    scan_budget_s: float | None = None
    slice_budget_s: float | None = None
    queue_wait_s: float | None = None
    max_scan_s: float | None = None
    idle_s: float | None = None
    grace_s: float | None = None
    log_format: str | None = None
    fire: bool | None = None

    @field_validator("config_dir", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return value.split(os.pathsep) if isinstance(value, str) else value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment before what the constructor is given, which is the file."""
        del settings_cls, dotenv_settings, file_secret_settings
        return env_settings, init_settings


def read_sources(file: Path | None) -> dict[str, tuple[Any, str]]:
    """The options that are set, each with its value and what sets it.

    Raises
    ------
    BadInputError
        When the file cannot be read, or an option is unknown or has a value that it cannot have.
    """
    of_file = {} if file is None else _read_file(file)
    variables = {name.upper(): name for name in os.environ if name.upper().startswith(PREFIX)}
    variables.pop(FILE_VARIABLE, None)
    known = {PREFIX + name.upper(): name for name in ServeSources.model_fields}
    if unknown := sorted(variables.keys() - known.keys()):
        raise BadInputError(f"unknown environment variable {', '.join(unknown)}; known: {', '.join(known)}")
    try:
        settings = ServeSources(**of_file)
    except ValidationError as error:
        raise BadInputError("; ".join(_fault(fault, variables, file) for fault in error.errors())) from None
    by_variable = {known[variable] for variable in variables}
    return {
        name: (value, f"{PREFIX}{name.upper()}" if name in by_variable else str(file))
        for name in settings.model_fields_set
        if (value := getattr(settings, name)) is not None
    }


def _read_file(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise BadInputError(f"--settings {file}: there is no such file")
    try:
        return read_toml_file(file)
    except InputError as error:
        raise BadInputError(f"--settings {file}: {str(error).removeprefix(f'{file} ')}") from error


def _fault(fault: Mapping[str, Any], variables: Mapping[str, str], file: Path | None) -> str:
    name = str(fault["loc"][0])
    variable = variables.get(PREFIX + name.upper())
    if fault["type"] == "extra_forbidden":
        return f"{file}: unknown setting {name!r}; known: {', '.join(ServeSources.model_fields)}"
    return f"{variable or f'{file}: {name}'} cannot be {fault['input']!r}: {fault['msg']}"


def as_toml(values: Mapping[str, Any], origins: Mapping[str, str]) -> str:
    """The effective settings as such a file, with the origin of each as a comment; those without a value are comments."""
    lines = []
    for name, value in values.items():
        text = f"# {name} is not set" if value in (None, ()) else f"{name} = {_toml(value)}"
        lines.append(f"{text}  # {origins[name]}")
    return "\n".join(lines)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(str(value), ensure_ascii=False)
