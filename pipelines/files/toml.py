"""Reading TOML files of settings, which are small."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from nilatron.pipelines.files.atomic import InputError

MOST_BYTES = 1 << 14  # of nested and dotted names the parser needs the square


def read_toml_file(path: Path) -> dict[str, Any]:
    """The tables of a TOML file.

    Raises
    ------
    InputError
        When it is missing, too large, or not TOML.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise InputError(f"has more than {MOST_BYTES} bytes, which no settings have")
        return tomllib.loads(content.decode())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read as TOML: {error}") from error
