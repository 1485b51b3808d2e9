"""Opening HDF5 files from anywhere: nothing in them leads out of the file, or claims to be much larger than it is.

A file of some kB may claim terabytes, whose chunks were never written and are read as zeros; or keep its numbers in another
file. Both are found before anything is read: all groups and datasets are looked at when the file is opened.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
from h5py import h5d, h5g, h5l, h5o, h5t

from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.files.hdf5.rows import has_variable_values
from nilatron.pipelines.files.sizes import most_unpacked

MOST_OBJECTS = 20_000
MOST_LEVELS = 8  # of types within types
DAMAGED = (OSError, KeyError, RuntimeError, TypeError, ValueError)  # what h5py raises on a damaged file
_METADATA_CACHE_BYTES = 1 << 21


def open_hdf5(path: Path) -> h5py.File:
    """Open an HDF5 file for reading.

    Raises
    ------
    InputError
        When the file is missing, not readable, truncated or not HDF5, or `check_contents` refuses it.
    """
    if not path.is_file():
        raise InputError(f"{path}: {'is not a file' if path.exists() else 'no such file'}")
    try:
        file = h5py.File(path, "r")
    except PermissionError as error:
        raise InputError(f"{path}: may not be read: {error.strerror}") from None
    except DAMAGED as error:
        if "truncated" in str(error):
            raise InputError(
                f"{path}: the HDF5 file is truncated ({path.stat().st_size} bytes); copy it again"
            ) from None
        raise InputError(f"{path}: is not an HDF5 file, so it is not ISMRMRD data ({error})") from None
    try:
        check_contents(file, path.stat().st_size)
        cache = file.id.get_mdc_config()
        cache.initial_size = cache.max_size = _METADATA_CACHE_BYTES  # by default it grows with the file, up to 32 MiB
        file.id.set_mdc_config(cache)
    except InputError as error:
        file.close()
        raise InputError(f"{path}: {error}") from None
    except DAMAGED as error:
        file.close()
        raise InputError(f"{path}: the HDF5 file is damaged: {error}") from None
    return file


def check_contents(file: h5py.File, file_bytes: int) -> None:
    """Look at every link, and at the type, place and size of every dataset of a file of `file_bytes`.

    Raises
    ------
    InputError
        When something lies in another file, a link leads nowhere, a type cannot be read, or a dataset claims to be larger
        than what the file can hold.
    """
    links: list[tuple[h5g.GroupID, bytes]] = []
    seen: set[Any] = set()
    waiting: list[tuple[str, Any]] = [("", h5o.open(file.id, b"/"))]
    while waiting:
        where, found = waiting.pop()
        address = h5o.get_info(found).addr
        if address in seen:
            continue
        seen.add(address)
        if len(seen) + len(waiting) > MOST_OBJECTS:
            raise InputError(f"holds more than {MOST_OBJECTS} groups and datasets")
        if isinstance(found, h5d.DatasetID):
            check_dataset(found, where, file_bytes)
        elif isinstance(found, h5g.GroupID):
            waiting += _hard_links(found, where, links)
    for group, name in links:  # only now: none of them can lead out of the file
        try:
            h5o.open(group, name)
        except DAMAGED:
            raise InputError(f"the link {_text(name)!r} leads nowhere") from None


def _hard_links(group: h5g.GroupID, where: str, links: list[tuple[h5g.GroupID, bytes]]) -> Iterator[tuple[str, Any]]:
    """What lies in a group; its links to names within the file are added to `links`."""
    if len(group) > MOST_OBJECTS:
        raise InputError(f"{where or '/'} holds more than {MOST_OBJECTS} groups and datasets")
    for name in group:
        kind = group.links.get_info(name).type
        if kind == h5l.TYPE_SOFT:
            links.append((group, name))
        elif kind == h5l.TYPE_HARD:
            yield f"{where}/{_text(name)}", h5o.open(group, name)
        else:
            raise InputError(f"{where}/{_text(name)} is a link to another file, and only this one is read")


def check_dataset(dataset: h5d.DatasetID, where: str, file_bytes: int) -> None:
    """Refuse a dataset whose numbers are not all in this file, or whose type or size cannot be.

    Raises
    ------
    InputError
        That says what is wrong.
    """
    made = dataset.get_create_plist()
    if made.get_external_count() or made.get_layout() == h5d.VIRTUAL:
        raise InputError(f"{where} keeps its numbers in other files, and only this one is read")
    kind = dataset.get_type()
    _check_type(kind, where, 0)
    claimed = dataset.get_space().get_simple_extent_npoints() * kind.get_size()
    stored = dataset.get_storage_size()
    if stored > file_bytes:
        raise InputError(f"{where} claims {stored} bytes of a file of {file_bytes}")
    if claimed > most_unpacked(stored):
        raise InputError(
            f"{where} claims {claimed} bytes, of which {stored} were ever written: the file is not complete"
        )
    # HDF5 takes memory for a whole chunk, however little of it is in the dataset
    chunk_bytes = math.prod(made.get_chunk()) * kind.get_size() if made.get_layout() == h5d.CHUNKED else 0
    if chunk_bytes > most_unpacked(stored):
        raise InputError(f"{where} has chunks of {chunk_bytes} bytes, and only {stored} were ever written")


def _check_type(kind: h5t.TypeID, where: str, level: int) -> None:
    if level > MOST_LEVELS:
        raise InputError(f"{where} has types within types, more than {MOST_LEVELS} levels of them")
    what = kind.get_class()
    if what == h5t.COMPOUND:
        for n in range(kind.get_nmembers()):
            _check_type(kind.get_member_type(n), where, level + 1)
    elif what in (h5t.ARRAY, h5t.VLEN):
        if has_variable_values(kind.get_super()):
            raise InputError(f"{where} has values of variable length within others, which cannot be checked")
        _check_type(kind.get_super(), where, level + 1)
    elif what in (h5t.REFERENCE, h5t.TIME):
        raise InputError(f"{where} holds {'references' if what == h5t.REFERENCE else 'times'} in place of numbers")
    if level == 0:
        kind.dtype  # noqa: B018 - raises for what NumPy cannot hold


def _text(name: bytes) -> str:
    return name.decode(errors="replace")
