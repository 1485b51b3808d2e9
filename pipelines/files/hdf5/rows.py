"""How rows of HDF5 datasets lie in the file: where their values of variable length are."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from h5py import h5d, h5i, h5t


class Field(NamedTuple):
    """A value of variable length in a row: where, the bytes of one of its elements, and length, address and index."""

    offset: int
    element_bytes: int
    kind: np.dtype[Any]


class StoredRow(NamedTuple):
    """A row as it lies in the file: its bytes, and its values of variable length."""

    n_bytes: int
    values: list[Field]


def stored_row(kind: h5t.TypeID, address_bytes: int) -> StoredRow:
    """How a row of a type is stored in a file with such addresses; in memory texts take less."""
    what = kind.get_class()
    value = np.dtype([("length", "<u4"), ("address", f"<u{address_bytes}"), ("index", "<u4")])
    if what == h5t.VLEN:
        return StoredRow(value.itemsize, [Field(0, kind.get_super().get_size(), value)])
    if what == h5t.STRING and kind.is_variable_str():
        return StoredRow(value.itemsize, [Field(0, 1, value)])
    if what != h5t.COMPOUND:
        return StoredRow(kind.get_size(), [])
    shift, values = 0, list[Field]()
    for n in sorted(range(kind.get_nmembers()), key=kind.get_member_offset):
        member, offset = kind.get_member_type(n), kind.get_member_offset(n) + shift
        inner = stored_row(member, address_bytes)
        values += [one._replace(offset=offset + one.offset) for one in inner.values]
        shift += inner.n_bytes - member.get_size()
    return StoredRow(kind.get_size() + shift, values)


def row_of(dataset: h5d.DatasetID) -> StoredRow:
    """How the rows of a dataset are stored."""
    return stored_row(dataset.get_type(), h5i.get_file_id(dataset).get_create_plist().get_sizes()[0])


def has_variable_values(kind: h5t.TypeID) -> bool:
    """Whether a type has values of variable length at any place but within others or arrays."""
    return bool(stored_row(kind, 8).values)
