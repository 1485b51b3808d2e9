"""What a weights file is: the answer of `nilatron prior info`."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from nilatron.core.prior.edm import SIGMA_RANGE
from nilatron.core.prior.edm_weights import EDMPrior
from nilatron.core.prior.engines.choose import read_weights
from nilatron.core.prior.weights import HASH_KEY

if TYPE_CHECKING:
    from nilatron.core.prior.engines.onnx.file import OnnxModel
    from nilatron.core.prior.prior import Prior


def describe_prior(path: Path) -> dict[str, Any]:
    """Everything that a safetensors or ONNX file of ours says about itself, and what it amounts to.

    Raises
    ------
    WeightsError
        When it cannot be used.
    EngineError
        For an ONNX file where onnx is not installed.
    """
    source = read_weights(path, "cpu")
    if isinstance(source, EDMPrior):
        found, stated = _of_network(source)
    elif path.suffix.lower() == ".onnx":
        found, stated = _of_graph(cast("OnnxModel", source))
    else:
        found, stated = {"engine": cast("Prior", source).label}, {}
    described = {
        "file": str(path),
        "bytes": path.stat().st_size,
        "sha256": source.sha256,
        **found,
        "complex_noise_levels": [round(s * math.sqrt(2), 5) for s in SIGMA_RANGE],
        "licence": stated.pop("licence", "not stated"),
        "data": stated.pop("data", "not stated"),
    }
    return described | {name: _parsed(text) for name, text in sorted(stated.items())}


def _of_network(prior: EDMPrior) -> tuple[dict[str, Any], dict[str, str]]:
    """What safetensors hold, and what else they state."""
    network, stated = prior.denoiser.network, dict(prior.metadata)
    found = {
        "format": stated.pop("format"),
        "content_verified": stated.pop(HASH_KEY, None) is not None,
        "architecture": json.loads(stated.pop("architecture")),
        "parameters": sum(p.numel() for p in network.parameters()),
        "resolution_levels": len(network.config.channels),
        "sides_padded_to_multiple_of": network.config.multiple,
        "sigma_data": float(stated.pop("sigma_data")),
    }
    return found, stated


def _of_graph(model: OnnxModel) -> tuple[dict[str, Any], dict[str, str]]:
    """What an ONNX file holds, and what else it states."""
    from nilatron.core.prior.engines.onnx.file import FORMAT

    facts = model.facts
    found = {
        "format": FORMAT,
        "content_verified": True,  # otherwise it would not have been read
        "precision": facts.precision,
        "made_from_sha256": facts.weights_sha256,
        "nilatron_version": facts.nilatron_version,
        "sides_padded_to_multiple_of": facts.multiple,
        "self_conditioned": model.n_inputs == 4,
        "sigma_data": facts.sigma_data,
    }
    return found, dict(facts.notes)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
