"""One section, in the process that was started for it."""

from __future__ import annotations

import faulthandler
import importlib
import logging
from pathlib import Path

from gpu.findings import Findings, WarningsToNotes
from gpu.sections import Section
from gpu.size import Size
from nilatron.pipelines.threads import calm_threads

BEFORE_THE_END_S = 2.0


def work(section: Section, result: Path, device: str, size: Size, limit_s: float) -> int:
    """Measure. What cannot be imported is absent; any other exception ends the process, and is the log's last line."""
    faulthandler.dump_traceback_later(max(limit_s - BEFORE_THE_END_S, 0.1))  # where it hangs
    calm_threads()  # as in our commands
    found = Findings(result)
    logging.getLogger().addHandler(WarningsToNotes(found))
    found.save()
    try:
        importlib.import_module(section.module).measure(found, device, size)
    except ModuleNotFoundError as error:
        found.leave_out(f"section {section.name}", str(error))
    finally:
        faulthandler.cancel_dump_traceback_later()
    return 0
