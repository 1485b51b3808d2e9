"""Search for Gadgetron chains by name or path: shipped chains and those of a site.

`pipelines.chain.xml` describes and parses the chains themselves.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from nilatron.pipelines.chain.xml import (
    MOST_BYTES,
    Chain,
    ChainError,
    External,
    Node,
    ReaderOrWriter,
    StockGadget,
    parse_chain,
)

__all__ = [
    "Chain",
    "ChainError",
    "ChainFile",
    "External",
    "Node",
    "ReaderOrWriter",
    "StockGadget",
    "find_chain",
    "list_chains",
    "load_chain",
    "parse_chain",
]

_SHIPPED = "nilatron.xml_configs"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ChainFile:
    """The XML of a chain and where it was found."""

    name: str
    location: str
    xml: bytes

    @property
    def purpose(self) -> str:
        """What the chain does: the first paragraph of its first comment, empty where there is none."""
        found = re.search(rb"<!--\s*(.*?)\s*(?:\n\s*\n|-->)", self.xml, re.DOTALL)
        return " ".join(found[1].decode("utf-8", "replace").split()) if found else ""


def list_chains(config_dirs: Iterable[Path] = ()) -> list[str]:
    """Names, without ".xml", of the shipped chains and of those in the directories."""
    return sorted(_available(config_dirs))


def find_chain(name_or_path: str, config_dirs: Iterable[Path] = (), *, allow_paths: bool = True) -> ChainFile:
    """The file of a chain, found by name or path.

    Parameters
    ----------
    name_or_path
        Name, with or without ".xml", or path. A file that lies there under a name with ".xml" takes precedence over chains in
        `config_dirs`, and these over shipped ones of the same name.
    config_dirs
        Directories with further chains; the first one that has the name is used.
    allow_paths
        Whether the path of a file is accepted; it must not be for a name that comes from a network.

    Raises
    ------
    ChainError
        When there is no such chain (the message lists the names), or its file cannot be read.
    """
    available = _available(config_dirs)
    name = name_or_path.removesuffix(".xml")
    path = Path(name_or_path)
    is_bare = path.name == name_or_path
    if allow_paths and (not is_bare or ((name != name_or_path or name not in available) and path.is_file())):
        if name in available:
            folder = Path(available[name].location).parent
            log.warning("%s is used, not the chain of this name in %s", path.resolve(), folder)
        return _read(path)
    if name in available:
        return available[name]
    expected = "a name" + (" or the path of an XML file" if allow_paths else "")
    raise ChainError(
        f"unknown chain {name_or_path!r}; expected {expected}; names: {', '.join(sorted(available)) or '(none)'}"
    )


def load_chain(name_or_path: str, config_dirs: Iterable[Path] = (), *, allow_paths: bool = True) -> Chain:
    """Find and parse a chain; see `find_chain` and `parse_chain`."""
    found = find_chain(name_or_path, config_dirs, allow_paths=allow_paths)
    return parse_chain(found.xml, found.name)


def _available(config_dirs: Iterable[Path]) -> dict[str, ChainFile]:
    found: dict[str, ChainFile] = {}
    for directory in config_dirs:
        if not directory.is_dir():
            raise ChainError(
                f"configuration directory {str(directory)!r} does not exist; expected a directory of XML files"
            )
        for path in sorted(directory.glob("*.xml")):
            found.setdefault(path.stem, _read(path))
    for entry in resources.files(_SHIPPED).iterdir():
        if entry.name.endswith(".xml"):
            name = entry.name.removesuffix(".xml")
            found.setdefault(name, ChainFile(name, str(entry), entry.read_bytes()))
    return found


def _read(path: Path) -> ChainFile:
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ChainError(f"cannot read chain {str(path)!r}: {error.strerror}") from error
    if len(content) > MOST_BYTES:
        raise ChainError(f"cannot read chain {str(path)!r}: it has more than {MOST_BYTES} bytes")
    return ChainFile(path.stem, str(path), content)
