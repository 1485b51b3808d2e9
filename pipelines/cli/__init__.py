"""The command line; its options have the names of the XML properties. Importing the module of a command adds the command.

Exit codes: 0 success, 2 bad input, 3 reconstruction failed or incomplete, 4 connection failed, 5 training stopped before its
end (`--resume` continues it).
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
    """Run the command line; errors that the user can correct give one line and code 2, others the traceback and code 3."""
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
