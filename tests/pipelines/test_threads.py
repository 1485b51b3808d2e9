import os
import subprocess
import sys
from pathlib import Path

import pytest

from nilatron.pipelines.threads import ENVIRONMENT, calm_threads

SOURCES = Path(__file__).resolve().parents[2] / "src"

SCRIPT = """
import numpy, threadpoolctl
from nilatron.pipelines.threads import calm_threads

calm_threads()
import scipy.linalg

numpy.ones((9, 9)) @ numpy.ones((9, 9))
print(*{pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"})
"""


def test_the_environment_of_children_is_set_and_what_was_set_stays(monkeypatch):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    calm_threads()
    assert {name: os.environ[name] for name in ENVIRONMENT} == ENVIRONMENT | {"OPENBLAS_NUM_THREADS": "2"}


@pytest.mark.slow
@pytest.mark.parametrize(("given", "expected"), [(None, "1"), ("2", "2")])
def test_blas_gets_one_thread_whenever_it_is_loaded_unless_the_environment_says_otherwise(given, expected):
    if (os.cpu_count() or 1) < 2:
        pytest.skip("OpenBLAS uses no more threads than there are processors: needs two")
    environment = {"PYTHONPATH": str(SOURCES)} | ({"OPENBLAS_NUM_THREADS": given} if given else {})
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout.split() == [expected]
