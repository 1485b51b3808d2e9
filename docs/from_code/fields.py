"""Fields of dataclasses as tables: names, defaults, and the texts that the sources have for them."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple


class Field(NamedTuple):
    """Field of a dataclass as a reader sees it."""

    name: str
    default: str
    text: str


class DescriptionError(ValueError):
    """Something in the code without a description, or a description of something that is not in the code."""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Table in Markdown."""
    cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *cells]) + "\n"


def code(text: str) -> str:
    """Text as code, or nothing for no text."""
    return f"`{text}`" if text else ""


def fields_of(kind: type[Any]) -> list[Field]:
    """Fields of a dataclass with defaults and descriptions: their comments, else the `Attributes` of the docstring.

    Raises
    ------
    DescriptionError
        For a field that nothing describes.
    """
    comments: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if dataclasses.is_dataclass(base):
            comments |= documented_attributes(inspect.getdoc(base) or "") | comments_of(base)
    found = []
    for field in dataclasses.fields(kind):
        if not comments.get(field.name):
            raise DescriptionError(
                f"{kind.__module__}.{kind.__qualname__}.{field.name} has neither comment nor docstring"
            )
        found.append(Field(field.name, default_of(field), comments[field.name] + range_of(field)))
    return found


def range_of(field: dataclasses.Field[Any]) -> str:
    """The bounds of a field in words, nothing where it has none."""
    least, most = field.metadata.get("bounds", ("", ""))
    return f" ({least} to {most})" if "bounds" in field.metadata else ""


def comments_of(kind: type[Any]) -> dict[str, str]:
    """Comments behind the fields of a class, or in the lines before them."""
    text = textwrap.dedent(inspect.getsource(kind))
    lines = text.splitlines()
    definition = next(node for node in ast.parse(text).body if isinstance(node, ast.ClassDef))
    found = {}
    for node in definition.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            behind = [part for line in lines[node.lineno - 1 : node.end_lineno] if (part := comment_of(line))]
            before, place = [], node.lineno - 2
            while lines[place].strip().startswith("#"):
                before.insert(0, lines[place].strip().lstrip("# "))
                place -= 1
            found[node.target.id] = " ".join(behind or before)
    return {name: comment for name, comment in found.items() if comment}


def comment_of(line: str) -> str:
    """The comment at the end of a line of a dataclass, without words to linters."""
    comment = line.partition("  # ")[2].strip()
    return re.sub(r"^noqa:\s*\w+(\s+- )?", "", comment)


def documented_attributes(docstring: str) -> dict[str, str]:
    """Descriptions in the section `Attributes` of a docstring; several names may share one."""
    section = docstring.partition("Attributes\n----------\n")[2]
    found: dict[str, str] = {}
    names: list[str] = []
    for line in section.splitlines():
        if line and not line.startswith(" "):
            names = [name.strip() for name in line.split(",")]
        elif line.strip():
            found |= {name: f"{found.get(name, '')} {line.strip()}".strip() for name in names}
    return found


def default_of(field: dataclasses.Field[Any]) -> str:
    """The default as a property or an option has it."""
    if field.default_factory is not dataclasses.MISSING or field.default is dataclasses.MISSING:
        return ""
    value = field.default
    if value is None:
        return "auto"
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def fields_table(*kinds: type[Any], first: str = "property") -> str:
    """Fields of dataclasses as one table."""
    fields = [field for kind in kinds for field in fields_of(kind)]
    return table((first, "default", "meaning"), ((code(f.name), code(f.default), f.text) for f in fields))


def compared(what: str, in_code: Iterable[str], described: Mapping[str, str]) -> None:
    """Raise DescriptionError unless the code has exactly what is described."""
    missing, left_over = sorted(set(in_code) - set(described)), sorted(set(described) - set(in_code))
    if missing or left_over:
        raise DescriptionError(f"{what}s without a description: {missing}; described and not in the code: {left_over}")
