"""Converter of the heads of lines and waveforms from any file layout to that of the protocol.

Fields are found by name, because writers order and pad them differently and use other integer types, byte orders and array
lengths (early versions of ISMRMRD had 8 physiology time stamps). Fields that this program does not use are padded, truncated or
set to 0 where they differ; a field that it does use is converted without loss, or refused by name.
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
BIT_FIELDS = ("flags", "channel_mask")  # bit masks: in signed integers the sign is one more bit
DEFAULTS = {  # value of a missing field: another field, divided by a number
    "center_sample": ("number_of_samples", 2),
    "available_channels": ("active_channels", 1),
}


@dataclass(frozen=True)
class HeadKind:
    """Layout of the heads of lines or waveforms, and which of their fields matter.

    Attributes
    ----------
    dtype
        Layout in the protocol.
    needed
        Fields that a file must have.
    used
        Fields whose values this program uses; a file without them gives 0 (or `DEFAULTS`).
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
    """One field: its type in the file (None if the file lacks it) and in the protocol."""

    name: str  # nested fields are joined by a dot
    stored: np.dtype[Any] | None
    wanted: np.dtype[Any]
    is_used: bool

    @property
    def path(self) -> list[str]:
        """Names of the nested fields, outermost first."""
        return self.name.split(".")

    @property
    def n_stored(self) -> int:
        """Number of values in one head of the file."""
        return 0 if self.stored is None else int(np.prod(self.stored.shape, dtype=int))

    @property
    def n_wanted(self) -> int:
        """Number of values in one head of the protocol."""
        return int(np.prod(self.wanted.shape, dtype=int))

    @property
    def is_numbers(self) -> bool:
        """Whether the file has this field and stores numbers in it."""
        return self.stored is not None and self.stored.base.kind in "iufb"


class HeadReader:
    """Converter of the heads of one table.

    Attributes
    ----------
    missing
        Names of the fields that the table lacks.
    notes
        Descriptions of the differences from ISMRMRD's layout.

    Raises
    ------
    InputError
        When a needed field is missing, or a used field has another length or does not hold numbers.
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
        """Heads (n,) in the layout of the protocol; `first_row` is the number of the first line, for messages.

        Raises
        ------
        InputError
            When the value of a used field does not fit the field of the protocol.
        """
        if heads.dtype == self.kind.dtype and not _is_padded(heads.dtype):
            return np.array(heads)
        packed = np.zeros(heads.shape, self.kind.dtype)  # zeros, so that padding does not depend on old memory
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
    """Description of how a field differs from ISMRMRD's; empty if only the type of its numbers does."""
    if not column.is_numbers:
        return f"holds no numbers but {column.stored}"
    if column.n_stored != column.n_wanted:
        return f"has {column.n_stored} values, not {column.n_wanted}"
    return ""


def _values(stored: AnyArray, column: Column, first_row: int) -> AnyArray:
    """Values of one field (head, ...), converted to the type and number of values in the protocol."""
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
