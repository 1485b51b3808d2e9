"""Numbers in sentences, and texts from elsewhere as they may be shown."""

from __future__ import annotations

import unicodedata

LONGEST_SHOWN = 4000  # characters of one message


def counted(number: int, noun: str) -> str:
    """A number with its noun, in the plural unless there is one."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def shown(text: str) -> str:
    r"""A text as one line without power over whoever shows it: what is not printed is escaped, like \x1b, \n or \u202e.

    Escaped are control characters, line breaks of all kinds, marks that turn the direction of writing or cannot be seen,
    halves of surrogate pairs, and characters that no one has assigned yet; spaces of all widths stay.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or unicodedata.category(one) == "Zs" else _escaped(one) for one in text)


def message(text: str, longest: int = LONGEST_SHOWN) -> str:
    """A text as `shown`, cut where it is longer than any message that is meant to be read."""
    if len(text) > longest:
        return f"{shown(text[:longest])}... ({len(text) - longest} more characters)"
    return shown(text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
