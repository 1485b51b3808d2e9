"""File systems that refuse: one line and exit code 2, whichever library was told."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import h5py
import pytest
from safetensors import SafetensorError

from nilatron.pipelines.cli.refused import refusal

SOURCES = Path(__file__).resolve().parents[3] / "src"
FULL = Path("/dev/full")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "no", "out.h5"), "out.h5: No space left on device"),
        (PermissionError(errno.EACCES, "no"), "Permission denied"),
        (OSError("Can't write data (file write failed: errno = 28, error message = '...')"), "No space left on device"),
        (SafetensorError("I/O error: No space left on device (os error 28)"), "No space left on device"),
        (OSError(errno.ECONNRESET, "no"), None),
        (ValueError("28 images"), None),
    ],
)
def test_what_is_said(error, said):
    assert refusal(error) == said


def test_an_error_behind_the_error():
    error = RuntimeError("the picture")
    error.__cause__ = OSError(errno.EROFS, "no", "out.png")
    assert refusal(error) == "out.png: Read-only file system"


@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")
def test_what_hdf5_says_of_a_full_device():
    with pytest.raises(OSError, match="errno") as caught, h5py.File(FULL, "w"):
        pass
    assert refusal(caught.value)


@pytest.mark.slow
@pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")
def test_a_full_standard_output_is_one_line():
    with FULL.open("wb") as full:
        done = run("configs", "list", stdout=full)
    assert (done.returncode, done.stderr) == (2, "nilatron: No space left on device\n")


@pytest.mark.slow
def test_a_reader_that_has_read_enough_is_no_error():
    reading, writing = os.pipe()
    os.close(reading)
    done = run("configs", "list", stdout=writing)
    os.close(writing)
    assert (done.returncode, done.stderr) in ((0, ""), (1, ""))


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "no"), OSError(errno.EROFS, "no"), SafetensorError("os error 28")]
)
def test_a_command_that_is_refused_has_one_line(command, one_line, monkeypatch, tmp_path, error):
    def refuse(*_, **__):
        raise error

    monkeypatch.setattr("nilatron.pipelines.simulation.simulate.simulate", refuse)
    code, out, err = command("simulate", tmp_path / "scan.h5")
    assert (code, out) == (2, "")
    assert one_line(err) in ("nilatron: No space left on device", "nilatron: Read-only file system")


def run(*words, stdout):
    return subprocess.run(  # noqa: S603
        [sys.executable, "-m", "nilatron", *words],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(SOURCES)},
    )
