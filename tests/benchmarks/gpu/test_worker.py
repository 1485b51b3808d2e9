"""A section in its process, by modules that stand in for the sections'."""

import logging
import sys
from types import SimpleNamespace

import pytest

from gpu import worker
from gpu.findings import read_findings
from gpu.sections import Section
from gpu.worker import work

SECTION = Section("any", "Any", "stand_in_section", 60.0)


@pytest.fixture
def begin(monkeypatch, tmp_path, small):
    root = logging.getLogger()
    before = list(root.handlers)
    monkeypatch.setattr(worker, "calm_threads", lambda: None)  # they are those of all tests

    def begin(measure):
        monkeypatch.setitem(sys.modules, SECTION.module, SimpleNamespace(measure=measure))
        return work(SECTION, tmp_path / "found.json", "cpu", small, 60.0), read_findings(tmp_path / "found.json")

    yield begin
    root.handlers[:] = before


def test_findings_and_warnings_are_kept(begin, small):
    def measure(found, device, size):
        assert (device, size) == ("cpu", small)
        found.judge("x", 1, 2)
        logging.getLogger("nilatron.core").warning("on the CPU instead")

    code, found = begin(measure)
    assert code == 0
    assert (len(found["bars"]), found["notes"]) == (1, ["log: on the CPU instead"])


def test_a_missing_package_makes_the_section_absent(begin):
    def measure(*_):
        import a_package_that_is_not_there  # noqa: F401

    code, found = begin(measure)
    assert code == 0
    assert found["absent"] == {"section any": "No module named 'a_package_that_is_not_there'"}


def test_another_error_ends_it_and_what_it_had_stays(begin, tmp_path):
    def measure(found, *_):
        found.note("so far")
        raise ImportError("libcufft.so.12: cannot open shared object file")

    with pytest.raises(ImportError, match="libcufft"):
        begin(measure)
    assert read_findings(tmp_path / "found.json")["notes"] == ["so far"]
