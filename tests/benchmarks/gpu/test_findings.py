"""A section's findings: on the disk after every addition, and readable whatever the numbers are."""

import json
import logging
import math

import pytest

from gpu.findings import Bar, Findings, WarningsToNotes, read_findings


@pytest.mark.parametrize(
    ("value", "passed"), [(0.9, True), (1.0, True), (1.1, False), (math.inf, False), (math.nan, False)]
)
def test_a_bar_is_reached_by_what_is_not_above_it(value, passed):
    assert Bar("", value, 1.0).passed is passed


def test_every_addition_is_kept_at_once(found):
    found.add_row("table", {"a": 1.5, "b": math.nan, "c": None, "d": "text"})
    assert read_findings(found.path)["tables"] == {"table": [{"a": 1.5, "b": None, "c": None, "d": "text"}]}
    found.judge("what", math.inf, 50, "ms")
    (bar,) = read_findings(found.path)["bars"]
    assert bar == {"what": "what", "found": None, "limit": 50, "unit": "ms", "passed": False}
    found.leave_out("CuPy", "not installed")
    assert read_findings(found.path)["absent"] == {"CuPy": "not installed"}


def test_no_file_is_no_findings(tmp_path):
    assert not any(read_findings(tmp_path / "none.json").values())


def test_warnings_become_notes_once(found):
    logger = logging.getLogger("a test of warnings")
    logger.addHandler(WarningsToNotes(found))
    for _ in range(2):
        logger.warning("%s instead", "CPU")
    logger.info("all is well")
    assert json.loads(found.path.read_text())["notes"] == found.notes == ["log: CPU instead"]
    assert Findings(found.path).notes == []
