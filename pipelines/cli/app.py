"""The command line application: options shared by all commands, exit codes, and ending a command with an error."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.text import Text

from nilatron import __version__
from nilatron.core.errors import BadInputError
from nilatron.core.words import message as as_message
from nilatron.core.words import shown
from nilatron.pipelines.log_lines import escape_logs
from nilatron.pipelines.threads import calm_threads

RECONSTRUCTING, PRIORS, SETTING_UP = "Reconstruct", "Priors", "Chains and installation"  # panels of the help


def examples(*commands: str) -> str:
    """What stands below a command's options: its use, line by line."""
    return "\n\n".join(("Examples:", *(f"$ nilatron {command}" for command in commands)))


app = typer.Typer(
    name="nilatron",
    help="Streaming MRI reconstruction with diffusion priors. Research software: not for diagnosis.",
    epilog=examples("demo", "simulate scan.h5", "replay scan.h5 -o images.h5 --png pictures", "COMMAND -h"),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

BAD_INPUT, RECONSTRUCTION_FAILED, CONNECTION_FAILED = 2, 3, 4
log = logging.getLogger(__name__)
stderr = Console(stderr=True)


def say(text: str) -> None:
    """Print one line on stdout; what it quotes from files and peers is escaped."""
    print(shown(text))


def say_lines(text: str) -> None:
    """Print a text of several lines on stdout, each as `say` does; tabs stay."""
    for line in text.replace("\r\n", "\n").split("\n"):
        print("\t".join(map(shown, line.split("\t"))))


def tell(message: str) -> None:
    """Print one line on stderr; what it quotes from files and peers is escaped."""
    stderr.print(Text(f"nilatron: {as_message(message)}", style="red"), soft_wrap=True)


def note(text: str) -> None:
    """Print one line on stderr that is no error; what it quotes from files and peers is escaped."""
    stderr.print(Text(as_message(text)), soft_wrap=True)


def fail(message: str, code: int) -> NoReturn:
    """Print one line on stderr and end the program with an exit code."""
    tell(message)
    raise typer.Exit(code)


def output_of(paths: list[Path], output: Path | None, what: str) -> tuple[list[Path], Path]:
    """Inputs and output, which is --output or else the last of the paths.

    Raises
    ------
    BadInputError
        When one of them is missing.
    """
    inputs, output = (paths, output) if output is not None else (paths[:-1], paths[-1] if paths else None)
    if not inputs or output is None:
        raise BadInputError(f"give {what} and an output: {what.upper()} -o OUT")
    return inputs, output


def weights_of(argument: str | None, option: str | None, default: str | None = None) -> str:
    """Weights by argument or by --weights.

    Raises
    ------
    BadInputError
        When both or none are given.
    """
    if argument is not None and option is not None:
        raise BadInputError(f"weights are given twice, {argument} and --weights {option}: leave one out")
    found = argument or option or default
    if found is None:
        raise BadInputError("no weights are given: --weights NAME or FILE")
    return found


def print_version(wanted: bool) -> None:
    """Print the version and stop, before other options are checked."""
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def common(
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Log what happens to every slice; anywhere on the line.")
    ] = False,
    version: Annotated[
        bool,
        typer.Option("--version", "-V", help="Print the version and stop.", callback=print_version, is_eager=True),
    ] = False,
) -> None:
    """Set logging and threads up for every command."""
    del version  # its callback has printed it
    handler = RichHandler(console=stderr, show_path=False) if stderr.is_terminal else logging.StreamHandler()
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, handlers=[handler], format="%(message)s")
    escape_logs()
    calm_threads()
