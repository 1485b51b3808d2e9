"""Packages that only some engines need, imported when one of those is asked for."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from nilatron.core.errors import BadInputError

EXTRAS = {
    "onnx": "export",
    "onnxscript": "export",
    "onnxruntime": "export",
    "openvino": "openvino",
    "tensorrt": "tensorrt",
}


class EngineError(BadInputError):
    """An engine, or a precision of it, that this installation or machine cannot run."""


def is_installed(package: str) -> bool:
    """Whether it could be imported; nothing is."""
    return importlib.util.find_spec(package) is not None


def needed(package: str) -> Any:
    """The imported package.

    Raises
    ------
    EngineError
        When it is not installed, with the extra that brings it, or cannot be loaded.
    """
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise EngineError(f"{package} is installed but incomplete ({error}): install it again") from error
        raise EngineError(
            f"the package {package} is not installed: pip install 'nilatron[{EXTRAS[package]}]', or use engine torch"
        ) from None
    except (ImportError, OSError, RuntimeError) as error:  # a shared library of it is missing or does not fit
        raise EngineError(f"{package} is installed but cannot be loaded ({error}): install it again") from error
