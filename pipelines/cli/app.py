"""The command line application: options shared by all commands, exit codes, and ending a command with an error."""

from __future__ import annotations

import logging
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.logging import RichHandler

from nilatron import __version__
from nilatron.pipelines.threads import calm_threads

app = typer.Typer(
    name="nilatron",
    help="Streaming MRI reconstruction with diffusion priors. Research software: not for diagnosis.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

BAD_INPUT, RECONSTRUCTION_FAILED, CONNECTION_FAILED = 2, 3, 4
log = logging.getLogger(__name__)
stderr = Console(stderr=True)


def tell(message: str) -> None:
    """Print one line on stderr."""
    stderr.print(f"nilatron: {message}", style="red", markup=False, highlight=False, soft_wrap=True)


def fail(message: str, code: int) -> NoReturn:
    """Print one line on stderr and end the program with an exit code."""
    tell(message)
    raise typer.Exit(code)


def print_version(wanted: bool) -> None:
    """Print the version and stop, before other options are checked."""
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def common(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what happens to every slice.")] = False,
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and stop.", callback=print_version, is_eager=True),
    ] = False,
) -> None:
    """Set logging and threads up for every command."""
    del version  # its callback has printed it
    handler = RichHandler(console=stderr, show_path=False) if stderr.is_terminal else logging.StreamHandler()
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, handlers=[handler], format="%(message)s")
    calm_threads()
