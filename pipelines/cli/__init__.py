"""The command line; its options have the names of the XML properties. Importing the module of a command adds the command.

Exit codes: 0 success, 2 bad input, 3 reconstruction failed or incomplete, 4 connection failed, 5 training stopped before its
end (`--resume` continues it).
"""

from __future__ import annotations

import logging
import os
import sys
from typing import NoReturn

from nilatron.core.errors import BadInputError
from nilatron.pipelines.cli import (  # noqa: F401
    check,
    configs,
    convert,
    demo,
    doctor,
    export,
    phases,
    prior,
    replay,
    serve,
    simulate,
    train,
)
from nilatron.pipelines.cli.app import BAD_INPUT, RECONSTRUCTION_FAILED, app, stderr
from nilatron.pipelines.cli.refused import foreign_errors, refusal

FAILURES: tuple[type[Exception], ...] = (
    RuntimeError,
    ArithmeticError,
    MemoryError,
    OSError,
    ValueError,
    LookupError,
    TypeError,
)

log = logging.getLogger(__name__)


ANYWHERE = {"-v": "-v", "--verbose": "-v", "-V": "-V", "--version": "-V"}


def main() -> None:
    """Run the command line.

    Errors that the user can correct, and file systems that refuse, give one line and code 2, others the traceback and code 3.
    """
    try:
        try:
            app(with_common_first(sys.argv[1:]))
        finally:
            sys.stdout.flush()  # what is full or gone shows here, not after the end
    except BadInputError as error:
        end(str(error), BAD_INPUT)
    except BrokenPipeError:  # whoever read the output has read enough
        give_up_stdout()
    except (*FAILURES, *foreign_errors()) as error:
        if (refused := refusal(error)) is not None:
            give_up_stdout()
            end(refused, BAD_INPUT)
        log.exception("reconstruction failed")
        end(f"{type(error).__name__}: {error}", RECONSTRUCTION_FAILED)


def end(message: str, code: int) -> NoReturn:
    """Print one line on stderr and end the program with an exit code."""
    stderr.print(f"nilatron: {message}", style="red", markup=False, highlight=False, soft_wrap=True)
    sys.exit(code)


def give_up_stdout() -> None:
    """Where standard output refuses, let the end of the program write nothing more to it."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def with_common_first(words: list[str]) -> list[str]:
    """The words with -v and -V, which every command understands, in front of its name; behind "--" all are arguments."""
    last = words.index("--") if "--" in words else len(words)
    common = [ANYWHERE[word] for word in words[:last] if word in ANYWHERE]
    return [*common, *(word for word in words[:last] if word not in ANYWHERE), *words[last:]]
