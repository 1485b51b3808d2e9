"""A method in a process of its own: whatever it does, the run goes on."""

import json
import sys
import time

import pytest

from peers.registry import BY_KEY
from peers.worker import NOT_INSTALLED, peak_bytes, run_apart

METHOD = BY_KEY["sigpy"]


def python(program, limit_s=60.0):
    return run_apart([sys.executable, "-c", program], METHOD, limit_s)


def test_the_last_line_is_the_result():
    assert python("print('noise'); print('{\"seconds\": 1.5}')") == {"seconds": 1.5}


def test_a_missing_package_is_named():
    found = python(f"import sys; sys.exit(print('No module named x', file=sys.stderr) or {NOT_INSTALLED})")
    assert found == {"missing": "not installed (sigpy): No module named x"}


@pytest.mark.parametrize(("program", "told"), [("raise ValueError('odd')", "odd"), ("import os; os.abort()", "-6")])
def test_a_failure_is_told(program, told):
    assert told in python(program)["missing"]


def test_what_takes_too_long_is_stopped():
    started = time.monotonic()
    assert python("import time; time.sleep(60)", limit_s=0.5) == {"missing": "stopped after 0 s"}
    assert time.monotonic() - started < 30


def test_a_process_left_behind_does_not_hold_up_the_run():
    started = time.monotonic()
    program = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print('{\"pid\": %d}' % child.pid)"
    )
    assert python(program)["pid"]
    assert time.monotonic() - started < 30


def test_peak_memory_is_that_of_the_program():
    before = peak_bytes()
    block = bytearray(b"x") * (64 << 20)
    assert peak_bytes() - before > 0.5 * len(block) or before > len(block)
    small = json.dumps(python("from peers.worker import peak_bytes"))
    assert "missing" in small  # the package is not on the path of a bare interpreter
