import os
import resource
import subprocess
import sys

import pytest

from nilatron.pipelines.server.wall import MIB, limit_growth, margin_bytes, writable_bytes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the limit is that of Linux")

PROGRAM = """
import numpy as np
from nilatron.pipelines.server.wall import *
base = writable_bytes()
limit_growth(base, 64 * MIB)
kept = np.zeros(48 * MIB, np.uint8)
try:
    np.zeros(64 * MIB + margin_bytes(), np.uint8)
except MemoryError:
    print("stopped")
limit_growth(base, 512 * MIB)
np.zeros(64 * MIB + margin_bytes(), np.uint8)
print("allowed")
"""


def test_memory_beyond_the_limit_is_not_had_and_the_limit_can_be_raised():
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.split() == ["stopped", "allowed"]


def test_the_limit_counts_from_what_there_was():
    before = resource.getrlimit(resource.RLIMIT_DATA)
    try:
        limit_growth(writable_bytes(), 100 * MIB)
        soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
        assert 100 * MIB + margin_bytes() <= soft <= writable_bytes() + 101 * MIB + margin_bytes()
        assert hard == before[1]
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)
