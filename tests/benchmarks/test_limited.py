"""A program that is limited ends, and all that it started."""

import sys
import time

import pytest

from limited import run_limited


@pytest.fixture
def python(tmp_path):
    def run(program, limit_s=60.0, **more):
        with (tmp_path / "out").open("w+") as output, (tmp_path / "err").open("w+") as errors:
            code = run_limited([sys.executable, "-c", program], limit_s, output=output, errors=errors, **more)
        return code, (tmp_path / "out").read_text()

    return run


def test_output_and_exit_code_are_those_of_the_program(python):
    assert python("import os; print(os.environ['A']); raise SystemExit(7)", environment={"A": "b"}) == (7, "b\n")


@pytest.mark.slow
def test_a_program_that_hangs_is_stopped(python):
    began = time.monotonic()
    assert python("print('so far', flush=True); import time; time.sleep(60)", limit_s=1.0) == (None, "so far\n")
    assert time.monotonic() - began < 30


@pytest.mark.slow
def test_what_it_leaves_behind_ends_with_it(python, tmp_path):
    child = f"import time; time.sleep(1); open({str(tmp_path / 'late')!r}, 'w')"
    assert python(f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {child!r}])")[0] == 0
    time.sleep(1.5)
    assert not (tmp_path / "late").exists()
