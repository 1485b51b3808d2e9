"""Optional packages, which only some engines need and which are imported only for these."""

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
    """Whether the package can be found; it is not imported."""
    return importlib.util.find_spec(package) is not None


def import_package(package: str) -> Any:
    """The imported package.

    Raises
    ------
    EngineError
        When the package is not installed or cannot be loaded; the message names the extra to install.
    """
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise EngineError(f"{package} is installed but incomplete ({error}): install it again") from error
        raise EngineError(
            f"the package {package} is not installed: pip install 'nilatron[{EXTRAS[package]}]', or use engine torch"
        ) from None
    except (ImportError, OSError, RuntimeError) as error:  # one of its shared libraries is missing or does not fit
        raise EngineError(f"{package} is installed but cannot be loaded ({error}): install it again") from error
