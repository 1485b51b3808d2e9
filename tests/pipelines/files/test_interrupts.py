import os
import signal
import subprocess
import sys
import threading

import pytest

from nilatron.pipelines.files.interrupts import SIGNALS, StopSignalError, forget, keep_in_mind, shielded, stoppable


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_stops_the_block_and_the_handler_before_comes_back(number):
    before = signal.getsignal(number)
    with pytest.raises(StopSignalError, match=signal.Signals(number).name) as raised, stoppable():
        os.kill(os.getpid(), number)
    assert raised.value.exit_code == 128 + number
    assert not isinstance(raised.value, Exception)
    assert signal.getsignal(number) == before


def test_a_shield_lets_its_block_end():
    done = []

    def work():
        with stoppable(), shielded():
            with shielded():
                os.kill(os.getpid(), signal.SIGTERM)
                done.append("inner")
            done.append("outer")
        done.append("behind")

    with pytest.raises(StopSignalError):
        work()
    assert done == ["inner", "outer"]


def test_a_shield_in_a_thread_does_not_hold_the_main_thread_up():
    entered, leave = threading.Event(), threading.Event()

    def wait():
        with shielded():
            entered.set()
            leave.wait(10)

    thread = threading.Thread(target=wait)
    thread.start()
    entered.wait(10)
    try:
        with pytest.raises(StopSignalError), stoppable():
            os.kill(os.getpid(), signal.SIGTERM)
    finally:
        leave.set()
        thread.join()


def test_what_is_left_is_removed_at_the_end(tmp_path):
    file, folder, kept = tmp_path / "file", tmp_path / "folder", tmp_path / "kept"
    with stoppable():
        for path in (file, kept):
            path.write_text("half")
            keep_in_mind(path)
        folder.mkdir()
        (folder / "in it").write_text("half")
        keep_in_mind(folder)
        forget(kept)
    assert list(tmp_path.iterdir()) == [kept]


def test_ignored_signals_stay_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stoppable():
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.slow
def test_a_forked_process_ends_at_once():
    program = """
import os, signal, sys, time
from nilatron.pipelines.files.interrupts import stoppable
with stoppable():
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, b"ready")  # signals that come during the fork are lost
        time.sleep(60)
        os._exit(0)
    os.read(reading, 5)
    os.kill(child, signal.SIGTERM)
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != -signal.SIGTERM)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, check=False)  # noqa: S603
    assert done.returncode == 0
