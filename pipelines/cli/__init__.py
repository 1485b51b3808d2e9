"""The command line; its options have the names of the XML properties. Importing the module of a command adds the command.

Exit codes: 0 success, 2 bad input, 3 reconstruction failed or incomplete or output that could not be written, 4 connection
failed, 5 training stopped before its end by a signal (`--resume` continues it), 128 + n stopped by signal n.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from nilatron.pipelines.cli import (  # noqa: F401
    batch,
    check,
    configs,
    convert,
    demo,
    doctor,
    export,
    importing,
    phases,
    prior,
    replay,
    sample,
    serve,
    simulate,
    stream,
    train,
)
from nilatron.pipelines.cli.app import BAD_INPUT, RECONSTRUCTION_FAILED, app, tell

log = logging.getLogger(__name__)


ANYWHERE = {"-v": "-v", "--verbose": "-v", "-V": "-V", "--version": "-V"}


def with_common_first(words: list[str]) -> list[str]:
    """The words with -v and -V, which every command understands, in front of its name; behind "--" all are arguments."""
    last = words.index("--") if "--" in words else len(words)
    common = [ANYWHERE[word] for word in words[:last] if word in ANYWHERE]
    return [*common, *(word for word in words[:last] if word not in ANYWHERE), *words[last:]]


@contextmanager
def whole_output() -> Iterator[None]:
    """Block whose standard output is written at its end, where a full disk can still be told."""
    from nilatron.pipelines.files.disk import OutputError, reason_of

    try:
        yield
    finally:
        try:
            sys.stdout.flush()
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python fails once more when it ends
            raise OutputError(f"output: {reason_of(error)}") from error


def main() -> None:
    """Run the command line; errors that the user can correct give one line and code 2, full disks one line and code 3.

    Other errors give the traceback and code 3; a stop signal gives one line and 128 plus its number.
    """
    from nilatron.core.errors import BadInputError
    from nilatron.pipelines.files.disk import OutputError, is_disk_error, reason_of
    from nilatron.pipelines.files.interrupts import StopSignalError, stoppable

    try:
        with stoppable(), whole_output():
            app(with_common_first(sys.argv[1:]))
    except BadInputError as error:
        tell(str(error))
        sys.exit(BAD_INPUT)
    except StopSignalError as stop:
        tell(f"stopped by {stop}; unfinished files were removed")
        sys.exit(stop.exit_code)
    except OutputError as error:
        tell(str(error))
        sys.exit(RECONSTRUCTION_FAILED)
    except (RuntimeError, ArithmeticError, MemoryError, OSError, ValueError, LookupError, TypeError) as error:
        if is_disk_error(error):
            log.debug("where it happened", exc_info=True)
            tell(f"{error.filename or 'output'}: {reason_of(error)}")
        else:
            log.exception("reconstruction failed")
            tell(f"{type(error).__name__}: {error}")
        sys.exit(RECONSTRUCTION_FAILED)
