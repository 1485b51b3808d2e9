"""`nilatron serve` as a program: what it refuses to start with."""

import os
import socket
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow


def serve(*options):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(  # noqa: S603
        [sys.executable, "-m", "nilatron", "serve", "--port", "0", "--health-port", "0", *options],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--config-dir", "no/such/folder"], "does not exist"),
        (["--log-format", "xml"], "Invalid value for '--log-format'"),
        (["--slice-budget-s", "-1"], "slice_budget_s must be positive"),
    ],
)
def test_bad_options_are_exit_code_2(options, reason):
    done = serve(*options)
    assert done.returncode == 2
    assert reason in done.stderr


def test_weights_that_cannot_be_used_are_exit_code_2(tmp_path):
    path = tmp_path / "prior.safetensors"
    path.write_bytes(b"nothing")
    done = serve("--weights", str(path))
    assert done.returncode == 2
    assert "no worker can be started" in done.stderr


@pytest.mark.parametrize("option", ["--port", "--health-port"])
def test_a_port_that_is_taken_is_exit_code_4_and_named(option):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = serve(option, str(port))
    assert done.returncode == 4
    assert f"cannot serve at 127.0.0.1, port {port} ({option}): in use" in done.stderr


def test_a_host_that_is_none_of_this_machine_is_exit_code_4():
    done = serve("--host", "192.0.2.1")
    assert done.returncode == 4
    assert "cannot serve at 192.0.2.1, port 0 (--port): " in done.stderr
