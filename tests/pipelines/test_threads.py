import os
import subprocess
import sys
from pathlib import Path

import pytest

SOURCES = Path(__file__).resolve().parents[2] / "src"

SCRIPT = """
import numpy, threadpoolctl
from nilatron.pipelines.threads import one_thread_for_blas

one_thread_for_blas()
import scipy.linalg

numpy.ones((9, 9)) @ numpy.ones((9, 9))
print(*{pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"})
"""


@pytest.mark.parametrize(("given", "expected"), [(None, "1"), ("2", "2")])
def test_blas_gets_one_thread_whenever_it_is_loaded_unless_the_environment_says_otherwise(given, expected):
    if (os.cpu_count() or 1) < 2:
        pytest.skip("OpenBLAS uses no more threads than there are processors: needs two")
    environment = {"PYTHONPATH": str(SOURCES)} | ({"OPENBLAS_NUM_THREADS": given} if given else {})
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout.split() == [expected]
