"""Heads of lines and waveforms: read by the names of their fields, whatever layout the writer gave them.

Writers order and pad fields differently, use other integers, other byte orders and other lengths of arrays: until 2014
ISMRMRD itself had 8 physiology time stamps. What nothing here uses is padded, cut or left at 0; what is used is read as
it is, or refused by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import ismrmrd.hdf5
import numpy as np
import numpy.typing as npt

from nilatron.pipelines.files.atomic import InputError

AnyArray = npt.NDArray[Any]

COUNTERS = (
    "kspace_encode_step_1",
    "kspace_encode_step_2",
    "average",
    "slice",
    "contrast",
    "phase",
    "repetition",
    "set",
)
BIT_FIELDS = ("flags", "channel_mask")  # a sign is one bit of them
DEFAULTS = {  # what fields are where they are not there: another one, divided
    "center_sample": ("number_of_samples", 2),
    "available_channels": ("active_channels", 1),
}


@dataclass(frozen=True)
class HeadKind:
    """What heads of one kind hold.

    Attributes
    ----------
    dtype
        Of the wire.
    needed
        Fields without which no line can be put in its place.
    used
        Fields whose values count, where they are there.
    """

    dtype: np.dtype[Any]
    needed: frozenset[str]
    used: frozenset[str]


_PLACE = frozenset(("flags", "number_of_samples", "active_channels", *(f"idx.{name}" for name in COUNTERS)))
_GEOMETRY = frozenset(("position", "read_dir", "phase_dir", "slice_dir"))
_READOUT = frozenset(("discard_pre", "discard_post", "center_sample", "encoding_space_ref", "sample_time_us"))
LINE = HeadKind(ismrmrd.hdf5.acquisition_header_dtype, _PLACE, _PLACE | _GEOMETRY | _READOUT)
_SIZES = frozenset(("channels", "number_of_samples"))
WAVEFORM = HeadKind(ismrmrd.hdf5.waveform_header_dtype, _SIZES, _SIZES | {"time_stamp"})


@dataclass(frozen=True)
class Column:
    """One field: where it lies in the heads of a file, None if it is not there, and how it leaves."""

    name: str  # of nested fields with a dot
    stored: np.dtype[Any] | None
    wanted: np.dtype[Any]
    is_used: bool

    @property
    def path(self) -> list[str]:
        """Names from the outermost field inwards."""
        return self.name.split(".")

    @property
    def n_stored(self) -> int:
        """Values in one head of the file."""
        return 0 if self.stored is None else int(np.prod(self.stored.shape, dtype=int))

    @property
    def n_wanted(self) -> int:
        """Values in one head of the wire."""
        return int(np.prod(self.wanted.shape, dtype=int))

    @property
    def is_numbers(self) -> bool:
        """Whether the file has numbers there."""
        return self.stored is not None and self.stored.base.kind in "iufb"


class HeadReader:
    """Heads of one table in the layout of the wire.

    Attributes
    ----------
    missing
        Fields that are not there.
    notes
        What differs from ISMRMRD, in words.

    Raises
    ------
    InputError
        When a field that is needed is not there, or one that is used has another length or holds no numbers.
    """

    def __init__(self, stored: np.dtype[Any], kind: HeadKind) -> None:
        if stored.names is None:
            raise InputError(f"the heads are stored as {stored}, expected a compound of named fields")
        self.kind = kind
        self.columns = [
            Column(name, _find(stored, name), dtype, name in kind.used) for name, dtype in _leaves(kind.dtype)
        ]
        self.missing = [column.name for column in self.columns if column.stored is None]
        if lacking := [name for name in self.missing if name in kind.needed]:
            raise InputError(f"the heads lack {', '.join(lacking)}")
        self.notes = [f"no {', '.join(self.missing)}"] if self.missing else []
        for column in self.columns:
            if column.stored is not None and (difference := _difference(column)):
                if column.is_used:
                    raise InputError(f"{column.name} in the heads {difference}")
                self.notes.append(f"{column.name} {difference}")

    def __call__(self, heads: AnyArray, first_row: int = 0) -> AnyArray:
        """Heads (n,) of a file as heads of the wire; `first_row` is their number in messages.

        Raises
        ------
        InputError
            When a value that is used does not fit the field.
        """
        if heads.dtype == self.kind.dtype and not _is_padded(heads.dtype):
            return np.array(heads)
        packed = np.zeros(
            heads.shape, self.kind.dtype
        )  # padding included: the bytes must not depend on what memory held
        for column in self.columns:
            if column.is_numbers:
                _at(packed, column.path)[...] = _values(_at(heads, column.path), column, first_row)
        for name, (other, divisor) in DEFAULTS.items():
            if name in self.missing:
                packed[name] = packed[other] // divisor
        return packed


def _is_padded(dtype: np.dtype[Any]) -> bool:
    return sum(leaf.itemsize for _, leaf in _leaves(dtype)) < dtype.itemsize


def _leaves(dtype: np.dtype[Any], prefix: str = "") -> Iterator[tuple[str, np.dtype[Any]]]:
    """Names and types of all fields that are not compounds themselves."""
    for name in dtype.names or ():
        if dtype[name].names:
            yield from _leaves(dtype[name], f"{prefix}{name}.")
        else:
            yield prefix + name, dtype[name]


def _find(stored: np.dtype[Any], name: str) -> np.dtype[Any] | None:
    first, _, rest = name.partition(".")
    if first not in (stored.names or ()):
        return None
    return _find(stored[first], rest) if rest else stored[first]


def _at(heads: AnyArray, path: list[str]) -> AnyArray:
    for name in path:
        heads = heads[name]
    return heads


def _difference(column: Column) -> str:
    """What makes a field another one than ISMRMRD's, in words; other widths of numbers do not."""
    if not column.is_numbers:
        return f"holds no numbers but {column.stored}"
    if column.n_stored != column.n_wanted:
        return f"has {column.n_stored} values, not {column.n_wanted}"
    return ""


def _values(stored: AnyArray, column: Column, first_row: int) -> AnyArray:
    """Values of one field (head, ...) in the type and number that are wanted."""
    base = column.wanted.base
    values = stored.reshape(len(stored), column.n_stored)[:, : column.n_wanted]
    if column.name.rpartition(".")[2] in BIT_FIELDS and values.dtype.kind == "i":
        values = values.astype(f"u{values.dtype.itemsize}")
    with np.errstate(invalid="ignore", over="ignore"):
        converted = values.astype(base)
    if base.kind in "iu" and not np.can_cast(values.dtype, base, "safe"):
        wrong = converted != values
        if wrong.any() and column.is_used:
            row, which = (int(at) for at in np.argwhere(wrong)[0])
            limits = np.iinfo(base)
            raise InputError(
                f"line {first_row + row}: {column.name} is {values[row, which]}, "
                f"expected a whole number from {limits.min} to {limits.max}"
            )
        converted[wrong] = 0
    padded = np.zeros((len(stored), column.n_wanted), base)
    padded[:, : converted.shape[1]] = converted
    return padded.reshape(len(stored), *column.wanted.shape)
