"""Models and engines made on this machine, kept in the user's cache folder: whole, verified, and nobody else's.

An entry is a file of three parts: a line with the SHA-256 of the rest, a line with its key as JSON, and its bytes. What is
damaged or belongs to another key is as good as absent. Entries may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nilatron.core.prior.engines.cache import ModelCache, NoCache

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FolderCache:
    """Entries in `folder`, which exists; a `ModelCache`."""

    folder: Path

    def read(self, kind: str, key: Mapping[str, str]) -> bytes | None:
        """The bytes that were kept under `key`; None where there are none, or they are damaged."""
        path = self.folder / entry_name(kind, key)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            log.warning("the cache entry %s cannot be read (%s)", path, error)
            return None
        digest, _, rest = content.partition(b"\n")
        described, _, kept = rest.partition(b"\n")
        if digest != hashlib.sha256(rest).hexdigest().encode() or described != described_key(key):
            log.warning("the cache entry %s is damaged and will be made again", path)
            return None
        return kept

    def write(self, kind: str, key: Mapping[str, str], content: bytes) -> None:
        """Keep `content`; the entry appears whole or not at all, and failing to keep it is no error."""
        path = self.folder / entry_name(kind, key)
        temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
        rest = described_key(key) + b"\n" + content
        try:
            temporary.write_bytes(hashlib.sha256(rest).hexdigest().encode() + b"\n" + rest)
            temporary.replace(path)
        except OSError as error:
            log.warning("the cache entry %s cannot be written (%s); it will be made again", path, error)
        finally:
            temporary.unlink(missing_ok=True)


def described_key(key: Mapping[str, str]) -> bytes:
    """One line of JSON, the same for the same key."""
    return json.dumps(dict(key), sort_keys=True).encode()


def entry_name(kind: str, key: Mapping[str, str]) -> str:
    """File of an entry."""
    return f"{kind}-{hashlib.sha256(described_key(key)).hexdigest()[:32]}"


def user_cache() -> ModelCache:
    """The cache of this user: folder nilatron in $XDG_CACHE_HOME, %LOCALAPPDATA% or ~/.cache.

    Runtimes trust what they are given from here, so a folder that others may write is not used.
    """
    try:
        given = os.environ.get("LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME", "")
        folder = (Path(given) if given else Path.home() / ".cache") / "nilatron"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
    except (OSError, RuntimeError) as error:  # RuntimeError: no home
        log.warning("no cache folder (%s): models are made anew in every process", error)
        return NoCache()
    if sys.platform != "win32" and (status.st_uid != os.getuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)):
        log.warning("the cache folder %s may be written by others and is not used: chmod go-w it", folder)
        return NoCache()
    return FolderCache(folder)
