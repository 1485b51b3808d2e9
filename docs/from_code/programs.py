"""The programs: commands, exit codes, settings, metrics."""

from __future__ import annotations

import ast
import dataclasses
import inspect
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any, get_args, get_type_hints

from from_code.fields import (
    DescriptionError,
    code,
    comments_of,
    compared,
    default_of,
    documented_attributes,
    fields_of,
    table,
)

ROOT = Path(__file__).resolve().parents[2]

CODES = {
    "SUCCESS": ("0", "every expected image came back, and none is doubtful or replaced", "nothing"),
    "BAD_INPUT": (
        "2",
        "arguments, a file or a chain cannot be used; nothing is written",
        "the line on stderr names what was expected; `nilatron check FILE` and `nilatron configs check FILE` tell more",
    ),
    "RECONSTRUCTION_FAILED": (
        "3",
        "images are missing, doubtful or replaced by the conventional one, data were left out, a file of a batch is not "
        "complete, or the output could not be written (full disk); what could be made is kept",
        "look at the images before use; the reason is on stderr, in the image comment and in `nilatron_doubt` or "
        "`nilatron_fallback`",
    ),
    "CONNECTION_FAILED": (
        "4",
        "the server, the archive, the Ray cluster or the connection failed, or a stream broke off; images that came are kept",
        "is the server up (`/readyz`), is the port the right one, is the archive's title right; then run again",
    ),
    "STOPPED_EARLY": (
        "5",
        "training was stopped by a signal before its last step",
        "`nilatron train ... --resume` goes on",
    ),
}
NODE_CODES = {
    "complete": "all images were sent",
    "failed": "the reconstruction failed; Gadgetron got an ERROR message with the reason",
    "peer gone": "Gadgetron or the connection is gone",
}


def exit_codes() -> str:
    """Exit codes of the command line."""
    from nilatron.pipelines.files.interrupts import SIGNALS

    values = {name: str(value) for name, value in codes_in_sources().items()}
    compared("exit code", values, CODES)
    wrong = [name for name, (number, *_) in CODES.items() if values[name] != number]
    if wrong:
        raise DescriptionError(f"other numbers in the code: {wrong}")
    stopped = ((str(128 + one), f"stopped by {one.name}; finished images are kept", "run again") for one in SIGNALS)
    return table(("code", "what happened", "what to do"), [*CODES.values(), *stopped])


def codes_in_sources() -> dict[str, int]:
    """Exit codes by the names that commands end with (`fail(text, NAME)`, `typer.Exit(NAME)`)."""
    import importlib

    found = {"SUCCESS": 0}
    for path in sorted((ROOT / "pipelines/cli").glob("*.py")):
        module = importlib.import_module(f"nilatron.pipelines.cli.{path.stem}")
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("fail", "typer.Exit", "sys.exit"):
                names = [arg.id for arg in node.args if isinstance(arg, ast.Name) and arg.id.isupper()]
                found |= {name: int(getattr(module, name)) for name in names}
    return found


def node_exit_codes() -> str:
    """Exit codes of the node that Gadgetron starts."""
    from nilatron.pipelines.node.session import EXIT_CODES

    compared("exit code of a node", EXIT_CODES, NODE_CODES)
    rows = [(str(number), NODE_CODES[name]) for name, number in EXIT_CODES.items()]
    return table(("code", "what happened"), [*rows, ("143", "the process was asked to end (SIGTERM)")])


def commands() -> str:
    """Commands with their arguments and options."""
    import typer

    import nilatron.pipelines.cli as cli

    return "\n".join(described_commands(typer.main.get_command(cli.app), ""))


def described_commands(command: Any, name: str) -> Iterator[str]:
    """Sections of a command and those below it."""
    below = getattr(command, "commands", {})
    title = f"nilatron {name}".strip()
    help_text = prose(inspect.cleandoc(command.help or "").split("\n\n")[0])
    choices = choices_of(command.callback)
    rows = [row for parameter in command.params if (row := option_row(parameter, choices)) is not None]
    if name or rows:
        yield f"## `{title}`\n\n{help_text}\n"
        yield table(("argument or option", "meaning"), rows) if rows else ""
    for part in sorted(below):
        yield from described_commands(below[part], f"{name} {part}".strip())


def choices_of(function: Callable[..., Any] | None) -> dict[str, list[str]]:
    """The words of every parameter of a command that is an enumeration, or a list of its members."""
    hints = get_type_hints(function) if function else {}
    return {name: words for name, hint in hints.items() if (words := words_of(hint))}


def words_of(hint: Any) -> list[str]:
    """Values of the enumeration in a type such as `list[Series] | None`; empty if there is none."""
    if isinstance(hint, type) and issubclass(hint, Enum):
        return [str(member.value) for member in hint]
    return [word for part in get_args(hint) for word in words_of(part)]


def prose(text: str | None) -> str:
    """Help as Markdown, in one line."""
    return " ".join((text or "").split()).replace(r"\[", "[").replace("<", r"\<")


def option_row(parameter: Any, choices: dict[str, list[str]]) -> tuple[str, str] | None:
    """Names, meaning and choices of an argument or option; None for hidden ones and those for completion."""
    options = [*parameter.opts, *parameter.secondary_opts]
    if getattr(parameter, "hidden", False) or any("completion" in option for option in options):
        return None
    is_option = any(option.startswith("-") for option in options)
    names = options if is_option else [parameter.name.upper()]
    text = prose(getattr(parameter, "help", None))
    if words := choices.get(parameter.name):
        text += f" One of {', '.join(map(code, words))}."
    default = getattr(parameter.default, "value", parameter.default)
    if isinstance(default, str | int | float) and not isinstance(default, bool) and default != "":
        text += f" Default: `{default}`."
    return ", ".join(map(code, names)), text


def node_environment() -> str:
    """Environment variables of the node."""
    from nilatron.pipelines.node.session import PREFIX, NodeSettings

    rows = ((code(PREFIX + f.name.upper()), code(f.default), f.text) for f in fields_of(NodeSettings))
    return table(("variable", "default", "meaning"), rows)


def server_settings() -> str:
    """Settings of the server as its TOML file, its environment and its options name them."""
    import typer

    import nilatron.pipelines.cli as cli
    from nilatron.pipelines.cli.sources import PREFIX, ServeSources

    parameters = {p.name: p for p in typer.main.get_command(cli.app).commands["serve"].params}
    choices = choices_of(typer.main.get_command(cli.app).commands["serve"].callback)
    rows = []
    for name in ServeSources.model_fields:
        found = option_row(parameters[name], choices)
        rows.append((code(name), code(PREFIX + name.upper()), found[1] if found else ""))
    return table(("in the file", "in the environment", "meaning"), rows)


def metrics() -> str:
    """Prometheus metrics of the server, by the names under which they are read."""
    from nilatron.pipelines.server.health import Metrics

    endings = {"counter": "_total", "info": "_info"}
    found = Metrics().registry.collect()
    rows = ((code(m.name + endings.get(m.type, "")), m.type, m.documentation) for m in found)
    return table(("metric", "kind", "meaning"), rows)


def training_settings() -> str:
    """Settings of a training run."""
    from nilatron.pipelines.training.settings import TrainSettings

    return "\n".join(training_sections(TrainSettings, ""))


def training_sections(kind: type[Any], prefix: str) -> Iterator[str]:
    """Table of a dataclass of settings, and of those in it."""
    hints = get_type_hints(kind)
    inner = {f.name: hints[f.name] for f in dataclasses.fields(kind) if dataclasses.is_dataclass(hints[f.name])}
    comments = documented_attributes(inspect.getdoc(kind) or "") | comments_of(kind)
    rows = [
        (code(prefix + f.name), code(default_of(f)), comments.get(f.name, ""))
        for f in dataclasses.fields(kind)
        if f.name not in inner
    ]
    yield table(("setting", "default", "meaning"), rows)
    for name, part in inner.items():
        yield from training_sections(part, f"{prefix}{name}.")
