"""Images by subject: a regular expression in their file names, or else the folder that holds them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from nilatron.pipelines.files.atomic import InputError
from nilatron.pipelines.prior.report import find_sources
from nilatron.pipelines.training.images import load_images


def images_by_subject(paths: Sequence[Path], pattern: str = "") -> dict[str, list[Tensor]]:
    """Images at image scale 1, (y, x), of each subject.

    Parameters
    ----------
    paths
        Files, or folders with subfolders.
    pattern
        What of a file's name tells the subject: its first group, or all that matches. Without one every folder is a subject.

    Raises
    ------
    InputError
        When the pattern is none, or a file's name does not match it.
    BadInputError
        When there are no images.
    """
    try:
        compiled = re.compile(pattern) if pattern else None
    except re.error as error:
        raise InputError(f"{pattern!r} is no regular expression: {error}") from error
    files: dict[str, list[Path]] = {}
    for path in (path for paths_ in find_sources(paths).values() for path in paths_):
        files.setdefault(_subject(path, compiled), []).append(path)
    return {subject: load_images(own) for subject, own in sorted(files.items())}


def _subject(path: Path, pattern: re.Pattern[str] | None) -> str:
    if pattern is None:
        return path.absolute().parent.name
    match = pattern.search(path.name)
    if match is None:
        raise InputError(f"{path}: its name does not match {pattern.pattern!r}, which tells the subject")
    return match.group(1) if pattern.groups else match.group(0)
