"""Reading a prior from a weights file: the formats, each with the function that loads it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from nilatron.core.prior.edm_weights import FORMAT, FORMAT_WITHOUT_HASH, EDMPrior, load_edm
from nilatron.core.prior.prior import Prior
from nilatron.core.prior.weights import WeightsError, WeightsFile, read_weights_file

Loader: TypeAlias = Callable[[WeightsFile, str], "Prior | EDMPrior"]

LOADERS: dict[str, Loader] = {FORMAT: load_edm, FORMAT_WITHOUT_HASH: load_edm}


def load_weights(path: Path, device: str) -> Prior | EDMPrior:
    """The prior of a safetensors file: our network, which needs an engine, or a `Prior`, which computes itself.

    Raises
    ------
    WeightsError
        When the file cannot be read, no loader knows its format, or its loader refuses it.
    """
    file = read_weights_file(path)
    if file.format not in LOADERS:
        known = ", ".join(repr(name) for name in LOADERS)
        raise WeightsError(f"{path}: expected weights of a format among {known}, found {file.format[:40]!r}")
    return LOADERS[file.format](file, device)
