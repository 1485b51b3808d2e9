"""What a weights file is: the answer of `nilatron prior info`."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from nilatron.core.prior.edm import SIGMA_RANGE
from nilatron.core.prior.weights import HASH_KEY, load_prior


def describe_prior(path: Path) -> dict[str, Any]:
    """Everything that a weights file says about itself, and what it amounts to.

    Raises
    ------
    WeightsError
        When it cannot be used.
    """
    prior = load_prior(path)
    network, stated = prior.denoiser.network, dict(prior.metadata)
    described: dict[str, Any] = {
        "file": str(path),
        "bytes": path.stat().st_size,
        "sha256": prior.sha256,
        "format": stated.pop("format"),
        "content_verified": stated.pop(HASH_KEY, None) is not None,
        "architecture": json.loads(stated.pop("architecture")),
        "parameters": sum(p.numel() for p in network.parameters()),
        "resolution_levels": len(network.config.channels),
        "sides_padded_to_multiple_of": network.config.multiple,
        "sigma_data": float(stated.pop("sigma_data")),
        "complex_noise_levels": [round(s * math.sqrt(2), 5) for s in SIGMA_RANGE],
        "licence": stated.pop("licence", "not stated"),
        "data": stated.pop("data", "not stated"),
    }
    return described | {name: _parsed(text) for name, text in sorted(stated.items())}


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
