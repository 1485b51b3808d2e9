"""Weights of a prior."""

from __future__ import annotations

import json
import struct
from pathlib import Path

from hostile.entering import hostile


def _safetensors(path: Path, header: object, content: bytes = b"") -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content)
    return path


@hostile("weights")
def weights_of_a_terabyte(folder: Path) -> Path:
    entry = {"dtype": "F32", "shape": [1 << 38], "data_offsets": [0, 1 << 40]}
    return _safetensors(folder / "w.safetensors", {"__metadata__": {"format": "nilatron-edm-2"}, "a": entry})


@hostile("weights")
def weights_that_overlap(folder: Path) -> Path:
    entry = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}
    return _safetensors(folder / "w.safetensors", {"a": entry, "b": entry}, bytes(16))


@hostile("weights")
def weights_whose_header_nests(folder: Path) -> Path:
    return _safetensors(folder / "w.safetensors", b"[" * 500_000 + b"]" * 500_000)


@hostile("weights")
def weights_whose_header_is_larger_than_the_file(folder: Path) -> Path:
    path = folder / "w.safetensors"
    path.write_bytes(struct.pack("<Q", 1 << 62) + b"{}")
    return path


@hostile("weights")
def weights_of_a_giant_network(folder: Path) -> Path:
    shape = json.dumps({"channels": [1024] * 8, "blocks": [16] * 8, "embedding": 4096})
    meta = {"format": "nilatron-edm-2", "architecture": shape, "sigma_data": "0.5", "content_sha256": "0" * 64}
    return _safetensors(folder / "w.safetensors", {"__metadata__": meta})


@hostile("weights")
def weights_whose_metadata_nest(folder: Path) -> Path:
    meta = {"format": "nilatron-edm-2", "architecture": "[" * 100_000, "sigma_data": "0.5", "content_sha256": "0"}
    return _safetensors(folder / "w.safetensors", {"__metadata__": meta})


@hostile("weights")
def weights_with_a_head_without_end(folder: Path) -> Path:
    shape = json.dumps({"channels": [8], "blocks": [1], "embedding": 16})
    meta = {"format": "nilatron-edm-2", "architecture": shape, "sigma_data": "0.5", "content_sha256": "0" * 64}
    meta["error_head"] = json.dumps({"channels": [256] * 100_000})
    return _safetensors(folder / "w.safetensors", {"__metadata__": meta})
