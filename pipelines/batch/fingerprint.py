"""What an output is made from, as one hash: input, chain, settings, weights, noise and version."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path

from nilatron import __version__
from nilatron.pipelines.archive.identity import file_sha256
from nilatron.pipelines.chain.find import load_chain
from nilatron.pipelines.replay.settings import ReplaySettings


def recipe(settings: ReplaySettings) -> str:
    """SHA-256 of all that makes the images but the raw file itself.

    Raises
    ------
    ChainError
        When there is no such chain.
    """
    noise = None if settings.noise is None else _sha256(settings.noise, stamp(settings.noise))
    facts = {
        "version": __version__,
        "chain": _chain(settings.chain),
        "properties": sorted(settings.properties.items()),
        "seed": settings.seed,
        "device": settings.device,
        "group": settings.group,
        "weights": _sha256(settings.weights, stamp(settings.weights)),
        "noise": noise,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def fingerprint(settings: ReplaySettings) -> str:
    """SHA-256 of the recipe and of all bytes of the raw file."""
    return hashlib.sha256(f"{recipe(settings)} {file_sha256(settings.raw)}".encode()).hexdigest()


def stamp(path: Path) -> str:
    """Size and time of change of a file: while they stay, so do its bytes. Empty where the file is not there."""
    try:
        found = path.stat()
    except OSError:
        return ""
    return f"{found.st_size} {found.st_mtime_ns}"


@lru_cache(maxsize=64)
def _sha256(path: Path, changed: str) -> str:
    del changed  # part of the key
    return file_sha256(path)


@lru_cache(maxsize=64)
def _chain(name: str) -> str:
    return repr(load_chain(name))
