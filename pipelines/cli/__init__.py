"""The command line, in the same words as the XML properties. One module a command; importing it adds it.

Exit codes: 0 done, 2 bad input, 3 reconstruction, 4 connection, 5 training stopped before its end (`--resume` goes on).
"""

from __future__ import annotations

import logging
import sys

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

log = logging.getLogger(__name__)


def main() -> None:
    """Run the command line; what the user can mend is one line and code 2, the rest code 3 with the log."""
    from nilatron.core.errors import BadInputError

    try:
        app()
    except BadInputError as error:
        stderr.print(f"nilatron: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(BAD_INPUT)
    except (RuntimeError, ArithmeticError, MemoryError, OSError, ValueError, LookupError, TypeError) as error:
        log.exception("reconstruction failed")
        stderr.print(f"nilatron: {type(error).__name__}: {error}", style="red", markup=False, soft_wrap=True)
        sys.exit(RECONSTRUCTION_FAILED)
