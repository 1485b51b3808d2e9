import os
import resource
import subprocess
import sys

import pytest

from nilatron.pipelines.server.wall import MIB, limit_growth, margin_bytes, resident_bytes, writable_bytes

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


GROWING = """
import threading
import numpy as np
from nilatron.pipelines.server import wall
from nilatron.pipelines.server.wall import *
wall.LOOK_S = 0.01
threading.Thread(target=end_if_grown, args=(resident_bytes(), 64 * MIB), daemon=True).start()
mapped = np.empty(4096 * MIB, np.uint8)
held = np.ones(32 * MIB + margin_bytes(), np.uint8)
threading.Event().wait(0.5)
print("allowed", flush=True)
more = np.ones(64 * MIB, np.uint8)
threading.Event().wait(60)
print("not stopped")
"""


def test_a_process_that_holds_too_much_ends_itself_whatever_it_has_mapped():
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", GROWING], capture_output=True, text=True, env=environment)  # noqa: S603
    assert (done.returncode, done.stdout.split()) == (1, ["allowed"])
    assert "more than the" in done.stderr


def test_what_was_touched_is_resident():
    before = resident_bytes()
    held = bytearray(b"x") * (64 * MIB)
    assert resident_bytes() >= before + 60 * MIB
    del held
