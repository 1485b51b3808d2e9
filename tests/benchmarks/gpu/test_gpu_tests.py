"""Which tests are run, and what is kept of them."""

from types import SimpleNamespace

import pytest

from gpu.gpu_tests import ROOT, Recorder, files_with_gpu_tests


def report(when="call", outcome="passed", longrepr=None):
    text = longrepr if isinstance(longrepr, str) else ""
    name = "tests/core/test_sense.py::test_cupy_agrees[1]"
    return SimpleNamespace(when=when, outcome=outcome, longrepr=longrepr, longreprtext=text, nodeid=name, duration=0.5)


def test_all_marked_tests_are_in_the_files(tmp_path):
    names = [path.name for path in files_with_gpu_tests(ROOT / "tests")]
    assert {"test_sense.py", "test_espirit.py", "test_cuda_graph.py"} < set(names)
    assert names[-1] == "test_tensorrt_engine.py"
    (tmp_path / "test_a.py").write_text("def test_a():\n    pass\n")
    assert files_with_gpu_tests(tmp_path) == []


def test_a_test_is_one_row(found):
    recorder = Recorder(found)
    for when in ("setup", "call", "teardown"):
        recorder.pytest_runtest_logreport(report(when))
    assert found.tables["Tests"] == [{"test": report().nodeid, "outcome": "passed", "seconds": 0.5, "": ""}]
    assert recorder.n_bad == 0


@pytest.mark.parametrize("when", ["setup", "call", "teardown"])
def test_a_failure_is_counted_and_told(found, when):
    recorder = Recorder(found)
    recorder.pytest_runtest_logreport(
        report(when, "failed", "def f():\nE   AssertionError: 1 | 2\ntests/a.py:3: error")
    )
    (row,) = found.tables["Tests"]
    assert (row["outcome"], row[""]) == ("failed", "AssertionError: 1 / 2")
    assert recorder.n_bad == 1


def test_a_skipped_test_is_absent(found):
    recorder = Recorder(found)
    recorder.pytest_runtest_logreport(report("setup", "skipped", ("a.py", 3, "Skipped: cupy is not installed")))
    assert found.absent == {"tests/core/test_sense.py": "cupy is not installed"}
    assert recorder.n_bad == 0


def test_a_file_that_cannot_be_collected_is_a_failure(found):
    recorder = Recorder(found)
    recorder.pytest_collectreport(
        SimpleNamespace(outcome="failed", longrepr="", longreprtext="E   ImportError: x", nodeid="a")
    )
    assert found.tables["Tests"][0][""] == "ImportError: x"
    assert recorder.n_bad == 1
