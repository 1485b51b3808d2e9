"""Fuzz one target: `python fuzz/run.py TARGET [CORPUS] [options of libFuzzer]`."""

from __future__ import annotations

import logging
import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["nilatron", "ismrmrd", "defusedxml", "json", "xml"]):
    from seeds import seeds
    from targets import TARGETS

MAX_BYTES = 1 << 14


def main() -> None:
    """Write the seeds into the corpus and go on until a limit is reached or something is found."""
    name, *options = sys.argv[1:] or [""]
    if name not in TARGETS:
        raise SystemExit(f"expected a target: {', '.join(TARGETS)}")
    if options and not options[0].startswith("-"):
        corpus = Path(options.pop(0))
        corpus.mkdir(parents=True, exist_ok=True)
    else:
        corpus = Path(tempfile.mkdtemp(prefix=f"fuzz-{name}-"))
    for number, seed in enumerate(seeds()[name]):
        (corpus / f"seed{number:02}").write_bytes(seed)
    logging.disable(logging.CRITICAL)
    arguments = [sys.argv[0], str(corpus), f"-max_len={MAX_BYTES}", "-timeout=20", "-rss_limit_mb=2048", *options]
    atheris.Setup(arguments, TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
