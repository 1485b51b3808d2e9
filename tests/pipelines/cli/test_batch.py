"""`nilatron batch` as users see it."""

import csv
import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.slow
def test_it_says_what_came_and_goes_on_where_it_was(command, raw, folder, one_line):
    words = ("batch", raw, "-o", folder / "out", "-c", "zero_filled", "--ray", "off", "--workers", 1)
    code, out, err = command(*words)
    assert (code, err) == (0, "")
    assert out.startswith("1 file in ")
    code, out, _ = command(*words)
    assert code == 0
    assert "1 of them by an earlier run" in out
    raw.write_bytes(raw.read_bytes()[:3000])
    code, out, err = command(*words)
    assert code == 3
    assert "1 of 1 file is not complete" in one_line(err)
    assert "truncated" in err
    with (folder / "out/results.csv").open() as file:
        assert [row["exit"] for row in csv.DictReader(file)] == ["2"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("none.h5",), "none.h5: no such file"),
        (("{raw}", "-c", "none"), "unknown chain 'none'"),
        (("{raw}", "--set", "colour=red"), "no property 'colour'"),
        (("{raw}", "--set", "colour"), "--set expects NAME=VALUE"),
        (("{raw}", "--weights", "none"), "none"),
        (("{raw}", "--ray", " "), "--ray expects"),
    ],
)
def test_a_batch_that_cannot_begin_is_one_line_and_code_2(command, raw, folder, one_line, options, told):
    words = [word.format(raw=raw) for word in options]
    code, out, err = command("batch", "-o", folder / "out", "--ray", "off", *words)
    assert (code, out) == (2, "")
    assert told in one_line(err)
    assert list(folder.iterdir()) == []


def test_two_batches_do_not_share_a_folder(command, raw, folder, one_line):
    (folder / "out").mkdir()
    with (folder / "out/.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        code, _, err = command("batch", raw, "-o", folder / "out", "-c", "zero_filled", "--ray", "off")
    assert code == 2
    assert "another batch works in this folder" in one_line(err)


@pytest.mark.slow
def test_a_stop_signal_leaves_table_and_page(raw, folder):
    words = [sys.executable, "-m", "nilatron", "batch", str(raw), "-o", str(folder / "out"), "-c", "l1_wavelet"]
    words += ["--set", "iterations=1000000000", "--ray", "off", "--workers", "1"]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    process = subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True)  # noqa: S603
    until = time.monotonic() + 120
    while not list((folder / "out").glob("images/.raw.h5.*.tmp")) and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "stopped by SIGINT" in err
    assert {"results.csv", "report.html"} <= {path.name for path in (folder / "out").iterdir()}
    assert list((folder / "out/images").iterdir()) == []
