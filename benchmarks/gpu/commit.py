"""Which sources were measured."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def commit(folder: Path = ROOT) -> str:
    """Hash of the commit, marked where files differ from it; "unknown" without git or its folder."""
    try:
        done = [
            subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True, timeout=10).stdout
            for words in (("rev-parse", "HEAD"), ("status", "--porcelain", "--untracked-files=no"))
        ]
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done[0].strip() + (" with changes" if done[1].strip() else "")
