"""The whole program: at once without a GPU, and with the CPU in its place."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gpu.driver import NoGpuError, find_driver

ROOT = Path(__file__).resolve().parents[2]


def program(*words):
    return subprocess.run(  # noqa: S603
        [sys.executable, str(ROOT / "benchmarks" / "check_gpu.py"), *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )


@pytest.fixture
def no_gpu():
    try:
        find_driver()
    except NoGpuError:
        return
    pytest.skip("there is a GPU")


@pytest.mark.usefixtures("no_gpu")
def test_without_a_gpu_one_line_and_nothing_else(tmp_path):
    done = program("-o", str(tmp_path / "report"), "--install", "false")
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("no NVIDIA GPU: ")
    assert not (tmp_path / "report").exists()


def test_nothing_is_installed_before_the_driver_was_asked():
    done = subprocess.run(["make", "-n", "gpu"], cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S607
    assert "check_gpu.py" in done.stdout
    assert "pip" not in done.stdout
    code = "import sys; import check_gpu; print(*{name.split('.')[0] for name in sys.modules})"
    path = os.pathsep.join((str(ROOT / "src"), str(ROOT / "benchmarks")))
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": path}
    )
    assert not {"numpy", "torch", "h5py", "ismrmrd"} & set(done.stdout.split())


@pytest.mark.slow
def test_the_cpu_stands_in(tmp_path):
    done = program("-o", str(tmp_path), "--device", "cpu", "--tiny", "--sections", "tests", "environment")
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    assert list(report["sections"]) == ["environment", "tests"]
    assert {one["outcome"] for one in report["sections"].values()} == {"done"}
    assert report["passed"]
    assert (tmp_path / "report.md").read_text().splitlines()[2] in done.stdout
    assert "| CPU |" in done.stdout
