"""How large what is read from a file may be, by the size of the file: known before memory is allocated for it."""

from __future__ import annotations

MIB = 1 << 20
SMALL_BYTES, LARGE_BYTES = 16 * MIB, 256 * MIB
MOST_PACKED, MOST_PACKED_IF_LARGE = 1100, 20  # bytes for each one that is stored; gzip makes at most 1032 of it
MOST_PIXELS = 1 << 25  # of one picture or slice: 5792 x 5792


def most_unpacked(stored_bytes: int) -> int:
    """Bytes that may come out of a compressed file or dataset of `stored_bytes`.

    Small ones need no evidence, and large ones must be stored at a twentieth of their size at least, as every measurement is.
    """
    return max(SMALL_BYTES, min(LARGE_BYTES, MOST_PACKED * stored_bytes), MOST_PACKED_IF_LARGE * stored_bytes)
