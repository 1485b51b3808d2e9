"""Sections that succeed, fail, hang and find no time, with a clock that is turned by hand and in real processes."""

import json
import sys
from dataclasses import replace

import pytest

from gpu.document import Document
from gpu.run import in_own_process, last_words, reason, run_sections
from gpu.sections import Section

FIRST, SECOND, THIRD, FOURTH = (Section(name, name.title(), f"gpu.{name}", 100.0, 15.0) for name in "abcd")
FOUND = {"tables": {"t": [{"n": 1}]}, "bars": [], "absent": {}, "notes": []}


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def document(tmp_path):
    return Document(tmp_path, {"commit": "abc"})


def run(document, endings, total_s, sections=(FIRST, SECOND, THIRD, FOURTH)):
    """Sections of so many seconds that end so; what each was allowed."""
    clock, allowed, reports = Clock(), {}, []

    def start(section, limit_s):
        allowed[section.name] = limit_s
        path = document.folder / "report.json"
        reports.append(list(json.loads(path.read_text())["sections"]) if path.exists() else [])
        seconds, code, told = endings[section.name]
        clock.now += min(seconds, limit_s)
        return (None if seconds > limit_s else code), told, FOUND

    run_sections(sections, total_s, document, start, clock)
    return allowed, reports


def outcomes(document):
    return {section.name: ended.outcome for section, ended in document.sections.items()}


def test_one_after_the_other_each_within_its_limit_and_what_is_left(document):
    allowed, reports = run(document, dict.fromkeys("abcd", (60, 0, "")), 260)
    assert allowed == {"a": 100, "b": 100, "c": 100, "d": 80}
    assert reports == [[], ["a"], ["a", "b"], ["a", "b", "c"]]  # written after each
    assert set(outcomes(document).values()) == {"done"}
    assert document.passed


def test_what_fails_or_hangs_does_not_end_the_run(document):
    endings = {"a": (5, 1, "ValueError: odd"), "b": (1000, 0, ""), "c": (5, -11, ""), "d": (5, 0, "")}
    run(document, endings, 480)
    assert outcomes(document) == {"a": "failed", "b": "stopped", "c": "failed", "d": "done"}
    why = {section.name: ended.why for section, ended in document.sections.items()}
    assert why == {"a": "exit code 1: ValueError: odd", "b": "after 100 s", "c": "SIGSEGV", "d": ""}
    assert document.sections[SECOND].found == FOUND  # what it had until then
    assert not document.passed


def test_without_time_a_section_does_not_begin_but_a_shorter_one_may(document):
    short = replace(THIRD, least_s=2.0)
    run(document, dict.fromkeys("abc", (90, 0, "")), 190, (FIRST, SECOND, FOURTH, short))
    assert outcomes(document) == {"a": "done", "b": "done", "d": "not begun", "c": "stopped"}
    assert document.sections[FOURTH].why == "10 s were left"
    assert not document.passed


SCRIPT = """
import json, sys, time
from pathlib import Path
words = dict(zip(sys.argv[1::2], sys.argv[2::2]))
name, folder = words["--section"], Path(words["-o"])
(folder / f"{name}.json").write_text(json.dumps({"notes": [words["--limit-s"]]}))
if name == "a":
    raise ValueError("odd")
if name == "b":
    print("begun", flush=True)
    time.sleep(60)
import gpu, nilatron
"""


def test_in_processes_of_their_own(document):
    command = [sys.executable, "-c", SCRIPT, "-o", str(document.folder)]
    start = in_own_process(command, document.folder)
    code, told, found = start(FIRST, 60.0)
    assert (code, told, found) == (1, "ValueError: odd", {"notes": ["60.0"]})
    code, told, found = start(SECOND, 2.0)
    assert (code, told, found) == (None, "begun", {"notes": ["2.0"]})
    code, _, _ = start(THIRD, 60.0)
    assert code == 0  # it imports what it needs


def test_findings_of_an_earlier_run_do_not_count(document):
    (document.folder / "d.json").write_text(json.dumps(FOUND))
    _, _, found = in_own_process([sys.executable, "-c", ""], document.folder)(FOURTH, 60.0)
    assert not any(found.values())


def test_the_last_words_are_those_of_the_error():
    log = "Traceback\nRuntimeError: first\ntorch.AcceleratorError: CUDA error: misaligned\nCompile with `TORCH_USE_CUDA_DSA`\n"
    assert last_words(log) == "torch.AcceleratorError: CUDA error: misaligned"
    assert last_words("one\n\ntwo\n") == "two"
    assert last_words("") == ""
    assert reason(-9, "two") == "SIGKILL: two"
    assert reason(3, "") == "exit code 3"
