"""Files, folders, patterns and tables as jobs; a table may have settings of each file's own.

A table is a CSV file with the column `file`. Columns `config`, `group`, `noise`, `seed` and `weights` are the options of these
names, every other column is a property of the node; an empty cell leaves what the command line says. Paths are relative to the
table.
"""

from __future__ import annotations

import csv
import glob
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from nilatron.core.prior.weights import find_weights
from nilatron.gadgets.node import Node, build_node
from nilatron.pipelines.batch.settings import GROUP, BatchSettings, Job
from nilatron.pipelines.chain.find import load_chain
from nilatron.pipelines.chain.host import build
from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.replay.settings import ReplaySettings

ENDINGS = (".h5", ".hdf5", ".mrd")  # what is taken from folders


def find_jobs(settings: BatchSettings) -> list[Job]:
    """All jobs in the order of the inputs, every file once; chains and properties are checked.

    Raises
    ------
    InputError
        When an input is not there or holds nothing, or a table cannot be used.
    ChainError
        When a chain is unknown, or does not have a property that it is given.
    """
    wanted: dict[str, ReplaySettings] = {}
    for text in settings.inputs:
        found = [_settled(one) for one in _found(text, settings)]
        if not found:
            raise InputError(f"{text}: no raw file ({', '.join(ENDINGS)}) is there")
        wanted |= {repr(one): one for one in found}
    check_chains(wanted.values())
    names = output_names([one.raw for one in wanted.values()])
    return [
        Job(name, replace(one, output=settings.images / f"{name}.h5", output_group=GROUP), settings.overwrite)
        for name, one in zip(names, wanted.values(), strict=True)
    ]


def check_chains(wanted: Iterable[ReplaySettings]) -> None:
    """See once that every chain takes the properties that it is given, before thousands of files say that it does not.

    And that weights and noise files are there.
    """
    checked = set()
    for one in wanted:
        key = one.chain, tuple(one.properties.items())
        if key not in checked:
            checked.add(key)
            build(load_chain(one.chain), partial(_node, one.properties))
        for path in filter(None, (one.weights, one.noise)):
            if not path.is_file():
                raise InputError(f"{path}: no such file")


def _node(own: Mapping[str, str], target: str, properties: Mapping[str, str]) -> Node:
    return build_node(target, {**properties, **own})


def output_names(paths: Sequence[Path]) -> list[str]:
    """A name for each file: its stem; as much of the folders in front as tells it from others; a number where that fails."""
    parts = [(*path.absolute().parts[1:-1], path.stem) for path in paths]
    names = [own[-1] for own in parts]
    depth = 1
    while (twice := {name for name, count in Counter(names).items() if count > 1}) and depth < max(map(len, parts)):
        depth += 1
        names = ["_".join(own[-depth:]) if name in twice else name for name, own in zip(names, parts, strict=True)]
    taken = Counter(names)
    seen: Counter[str] = Counter()
    for place, name in enumerate(names):
        if taken[name] > 1:
            seen[name] += 1
            names[place] = f"{name}_{seen[name]}"
    return names


def _settled(one: ReplaySettings) -> ReplaySettings:
    """The settings in the one form that equal ones share."""
    return replace(one, raw=one.raw.absolute(), properties=dict(sorted(one.properties.items())))


def _found(text: str, settings: BatchSettings) -> Iterator[ReplaySettings]:
    path, base = Path(text), settings.base
    if path.is_dir():
        inside = settings.folder.absolute()
        for one in sorted(path.rglob("*")):
            hidden = any(part.startswith(".") for part in one.relative_to(path).parts)
            if one.suffix.lower() in ENDINGS and one.is_file() and not hidden and inside not in one.absolute().parents:
                yield replace(base, raw=one)
    elif path.suffix.lower() == ".csv":
        yield from _of_table(path, base)
    elif path.exists() or not glob.has_magic(text):
        if not path.exists():
            raise InputError(f"{path}: no such file or folder")
        yield replace(base, raw=path)
    else:
        yield from (replace(base, raw=Path(one)) for one in sorted(glob.glob(text, recursive=True)))  # noqa: PTH207 - it may be absolute


def _of_table(path: Path, base: ReplaySettings) -> Iterator[ReplaySettings]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            if "file" not in (reader.fieldnames or ()):
                there = ", ".join(map(repr, reader.fieldnames or ())) or "nothing"
                raise InputError(f"{path}: expected a column 'file' in the first line, found {there}")
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: is not a table (CSV) that can be read: {error}") from error
    for number, row in enumerate(rows, 2):
        try:
            yield _of_row(row, path.parent, base)
        except ValueError as error:
            raise InputError(f"{path}: line {number}: {error}") from error


def _of_row(row: Mapping[str | None, str | None], folder: Path, base: ReplaySettings) -> ReplaySettings:
    if None in row:
        raise ValueError("has more cells than there are columns")
    cells = {str(name).strip(): text.strip() for name, text in row.items() if text and text.strip()}
    if any("\0" in text for text in (*cells, *cells.values())):
        raise ValueError("has a character of no text")
    if "file" not in cells:
        raise ValueError("names no file")
    made = replace(base, raw=folder / cells.pop("file"))
    if chain := cells.pop("config", None):
        made = replace(made, chain=str(folder / chain) if (folder / chain).is_file() else chain)
    if group := cells.pop("group", None):
        made = replace(made, group=group)
    if noise := cells.pop("noise", None):
        made = replace(made, noise=folder / noise)
    if seed := cells.pop("seed", None):
        made = replace(made, seed=int(seed))
    if weights := cells.pop("weights", None):
        made = replace(made, weights=find_weights(str(folder / weights) if (folder / weights).is_file() else weights))
    return replace(made, properties={**made.properties, **cells})
