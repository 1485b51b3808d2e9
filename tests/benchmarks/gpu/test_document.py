"""The report: verdict on top, failures first, nothing that breaks a table."""

import json

import pytest

from gpu.document import Document
from gpu.sections import Ended, Section

SPEED, ENGINES = (Section(name, name.title(), "", 1.0) for name in ("speed", "engines"))


def bar(what, found, passed=True):
    return {"what": what, "found": found, "limit": 50, "unit": "ms", "passed": passed}


def findings(bars=(), absent=(), notes=()):
    table = {"Stages": [{"stage": "maps | of coils", "median / ms": 12.3456}, {"stage": "x", "median / ms": None}]}
    return {"tables": table, "bars": list(bars), "absent": dict(absent), "notes": list(notes)}


@pytest.fixture
def document(tmp_path):
    return Document(tmp_path, {"commit": "abc", "device": "cuda"}, spent_s=100.0)


def read(document):
    return json.loads((document.folder / "report.json").read_text()), (document.folder / "report.md").read_text()


def test_all_is_well(document):
    document.add(SPEED, Ended("done", 12.0, "", findings([bar("Nila image", 23.456)], notes=["a remark"])))
    content, text = read(document)
    assert content["passed"]
    assert content["bars"] == [{"section": "speed", **bar("Nila image", 23.456)}]
    assert content["facts"]["commit"] == "abc"
    assert content["seconds"] >= 100
    lines = text.splitlines()
    assert lines[2] == "**Passed**: all 1 bars passed."
    assert "| passed | speed | Nila image | 23.5 ms | 50 ms |" in lines
    assert "| maps / of coils | 12.35 |" in lines
    assert "| x | - |" in lines
    assert "- a remark" in lines


def test_a_missed_bar_stands_first(document):
    document.add(SPEED, Ended("done", 12.0, "", findings([bar("first", 1.0), bar("second", 60.0, passed=False)])))
    document.add(ENGINES, Ended("done", 3.0, "", findings([bar("third", None, passed=False)])))
    content, text = read(document)
    assert not content["passed"]
    assert "**NOT passed**: 2 of 3 bars FAILED." in text
    rows = [line for line in text.splitlines() if line.endswith("| 50 ms |")]
    assert [row.split("|")[3].strip() for row in rows] == ["second", "third", "first"]
    assert "| **FAILED** | engines | third | - | 50 ms |" in rows


def test_absence_is_said_on_top_and_is_no_failure(document):
    document.installation = [
        {"name": "nilatron", "outcome": "done", "seconds": 60.0, "why": ""},
        {"name": "TensorRT", "outcome": "failed", "seconds": 150.0, "why": "stopped after 150 s"},
    ]
    document.add(SPEED, Ended("done", 12.0, "", findings([bar("x", 1.0)], {"CuPy": "not installed"})))
    content, text = read(document)
    assert content["passed"]
    assert content["absent"] == {"TensorRT": "stopped after 150 s", "CuPy": "not installed"}
    assert text.splitlines()[2] == "**Passed**: all 1 bars passed; absent, so left out: TensorRT; CuPy."
    assert "- TensorRT: stopped after 150 s" in text
    assert "| installing TensorRT | failed | 150 |  |" in text


@pytest.mark.parametrize("outcome", ["failed", "stopped", "not begun"])
def test_a_section_that_did_not_end_is_a_failure_and_keeps_what_it_had(document, outcome):
    document.add(SPEED, Ended(outcome, 12.0, "RuntimeError: a | b", findings([bar("x", 1.0)])))
    content, text = read(document)
    assert not content["passed"]
    assert f"**NOT passed**: all 1 bars passed; speed {outcome.upper()}." in text
    assert f"| speed | {outcome.upper()} | 12.0 | RuntimeError: a / b |" in text
    assert "### Stages" in text


def test_no_section_is_no_success(document):
    assert not document.passed
