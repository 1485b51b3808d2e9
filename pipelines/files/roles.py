"""What the images of a slice are to each other: the image, the conventional one beside it, the map of its error."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Generic, TypeVar

from nilatron.gadgets.images import SERIES_INDEX

ROLES = {index: role for role, index in SERIES_INDEX.items()}
COMPARED = ("main", "conventional", "uncertainty")  # what is looked at side by side
INDICES = ("slice", "contrast", "phase", "repetition", "set", "average")

T = TypeVar("T")


def slice_of(head: Any) -> tuple[int, ...]:
    """Which slice an image shows, in the order of `INDICES`; `head` is an image, or its header as a record or an object."""
    return tuple(int(head[name] if hasattr(head, "dtype") else getattr(head, name)) for name in INDICES)


class TogetherBySlice(Generic[T]):
    """Gathers images until a slice has all that are compared.

    Parameters
    ----------
    most_waiting
        Slices that may wait, of which the oldest is given up for another; None for any number.
    """

    def __init__(self, most_waiting: int | None = None) -> None:
        self.most_waiting = most_waiting
        self._waiting: dict[tuple[int, ...], dict[str, T]] = defaultdict(dict)

    def add(self, head: Any, image: T) -> dict[str, T] | None:
        """The images of the slice by role, once this one completes them; they are not kept then."""
        role = ROLES.get(int(head.image_series_index))
        if role not in COMPARED:
            return None
        key = slice_of(head)
        self._waiting[key][role] = image
        if self.most_waiting is not None and len(self._waiting) > self.most_waiting:
            del self._waiting[next(iter(self._waiting))]
        return self._waiting.pop(key) if len(self._waiting[key]) == len(COMPARED) else None
