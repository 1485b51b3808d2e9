"""Installing step by step, with a program in place of make."""

import json
import sys
from pathlib import Path

import pytest

from gpu import installation
from gpu.installation import RESERVED_S, STEPS, install, install_and_go_on, interpreter, last_error

NAMES = [step.name for step in STEPS]


class Make:
    """Steps of so many seconds that end with such codes; the clock is turned by hand."""

    def __init__(self, seconds=10.0, codes=()):
        self.now, self.seconds, self.codes, self.asked = 0.0, seconds, dict(codes), {}

    def __call__(self, words, limit_s, *, output, errors, environment):
        assert output is errors
        assert environment["PIP_RETRIES"] == "1"
        target = words[-1].rpartition("/")[2]
        self.asked[target] = limit_s
        self.now += min(self.seconds, limit_s)
        if self.seconds > limit_s:
            return None
        output.write("ERROR: No matching distribution found for it\nmake: *** [Makefile:1] Error 1\n")
        return self.codes.get(target, 0)


def installed(make, tmp_path, total_s=470.0):
    return install(["make"], tmp_path / ".venv", tmp_path, total_s, lambda: make.now, make)


def test_each_step_has_its_limit(tmp_path):
    make = Make()
    assert [(one.name, one.outcome) for one in installed(make, tmp_path)] == [(name, "done") for name in NAMES]
    assert list(make.asked) == [step.target for step in STEPS]
    assert make.asked[".gpu"] == 90
    assert make.asked[".run"] == 470 - RESERVED_S


def test_a_step_that_fails_is_told_and_the_others_go_on(tmp_path, capsys):
    done = {one.name: one for one in installed(Make(codes={".gpu": 2}), tmp_path)}
    assert [done[name].outcome for name in NAMES] == ["done", "done", "failed", "done"]
    assert done["CuPy"].why.startswith("ERROR: No matching distribution found for it (see ")
    assert "installing CuPy: ERROR" in capsys.readouterr().out


def test_the_sections_keep_their_share_of_the_time(tmp_path):
    make = Make(seconds=1000.0)
    done = installed(make, tmp_path)
    assert make.now == 470 - RESERVED_S
    assert done[0].why.startswith("stopped after 270 s")
    assert list(make.asked) == [".run"]
    make = Make(seconds=85.0)
    done = installed(make, tmp_path)
    assert [one.outcome for one in done] == ["done", "done", "done", "failed"]
    assert done[3].why.startswith("stopped after 15 s")
    assert installed(Make(seconds=90.0), tmp_path)[3].why == "no time was left to install it"


def test_what_needs_nilatron_is_not_tried_without_it(tmp_path):
    make = Make(codes={".run": 2})
    assert [one.why for one in installed(make, tmp_path)[1:]] == ["not tried without nilatron"] * 3
    assert list(make.asked) == [".run"]


def test_the_message_is_that_of_pip_and_not_of_make():
    assert last_error("Collecting\nERROR: first\nERROR: second\nmake: *** Error 1") == "ERROR: second"
    assert last_error("Python 3.11 or newer is needed\nmake: *** Error 1") == "Python 3.11 or newer is needed"
    placeholder = "error: subprocess-exited-with-error\nThe installation of tensorrt-cu13-libs failed.\nhint: see above"
    assert last_error(placeholder) == "The installation of tensorrt-cu13-libs failed."
    assert last_error("") == "no message"


def test_where_the_environment_lacks_something_this_interpreter_may_have_it(tmp_path, monkeypatch):
    monkeypatch.setattr(installation, "ESSENTIAL", "import json")
    assert interpreter(tmp_path) == sys.executable
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.symlink_to("/bin/false")
    assert interpreter(tmp_path) == sys.executable
    python.unlink()
    python.symlink_to("/bin/true")
    assert interpreter(tmp_path) == str(python)
    monkeypatch.setattr(installation, "ESSENTIAL", "import a_package_that_is_not_there")
    python.unlink()
    assert interpreter(tmp_path) is None


SCRIPT = """
import json, sys
words = dict(zip(sys.argv[1::2], sys.argv[2::2]))
print(json.dumps(words), file=open(words["-o"] + "/words", "w"))
sys.exit(1)
"""


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "benchmarks" / "script.py"
    path.parent.mkdir()
    path.write_text(SCRIPT)
    return path


def test_the_run_follows_with_what_is_left_of_the_time(tmp_path, script, monkeypatch):
    monkeypatch.setattr(installation, "ESSENTIAL", "import json")
    assert install_and_go_on(script, tmp_path, "true", tmp_path / ".venv", 470.0) == 1
    words = json.loads((tmp_path / "words").read_text())
    assert [one["outcome"] for one in json.loads(Path(words["--installation"]).read_text())] == ["done"] * len(STEPS)
    assert words["--limit-s"] == "470"
    assert 0 <= float(words["--spent-s"]) < 60


def test_with_nothing_installed_nothing_runs(tmp_path, script, monkeypatch, capsys):
    monkeypatch.setattr(installation, "ESSENTIAL", "import a_package_that_is_not_there")
    assert install_and_go_on(script, tmp_path, "false", tmp_path / ".venv", 470.0) == 2
    assert "nothing can run without nilatron's packages: no message" in capsys.readouterr().err
    assert not (tmp_path / "words").exists()
