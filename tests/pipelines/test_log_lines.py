import io
import logging
import sys
import threading
import warnings

import pytest

from nilatron.pipelines.log_lines import LineFormatter, escape_logs, set_in

HOSTILE = "scan \x1b]0;title\x07\nERROR forged \u202egnp.exe"
SHOWN = r"scan \x1b]0;title\x07\nERROR forged \u202egnp.exe"


@pytest.fixture
def lines(monkeypatch):
    """What the root logger writes through a handler of the form that Gadgetron's launcher gives it, once it is escaped."""
    stream, root = io.StringIO(), logging.getLogger()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(levelname)s [x] %(message)s"))
    monkeypatch.setattr(root, "handlers", [handler])
    for owner, name in ((warnings, "formatwarning"), (sys, "excepthook"), (threading, "excepthook")):
        monkeypatch.setattr(owner, name, getattr(owner, name))
    escape_logs()
    return lambda: stream.getvalue().splitlines()


def test_a_message_is_one_line_in_the_form_of_its_handler(lines):
    logging.getLogger("nilatron.a").warning("got %s", HOSTILE)
    assert lines() == [f"WARNING [x] got {SHOWN}"]


def test_a_traceback_is_set_in_and_forges_no_line(lines):
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        logging.getLogger("nilatron.a").exception("failed")
    first, *others = lines()
    assert first == "ERROR [x] failed"
    assert all(line.startswith("  ") for line in others)
    assert "\x1b" not in "".join(others)
    assert r"\x1b]0;title" in "".join(others)


def test_what_ends_a_thread_or_the_program_is_escaped(lines):
    def fail():
        raise RuntimeError(HOSTILE)

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    sys.excepthook(RuntimeError, RuntimeError(HOSTILE), None)
    assert [line for line in lines() if line.startswith("CRITICAL")] == ["CRITICAL [x] not expected"] * 2
    assert "\x1b" not in "".join(lines())


@pytest.mark.usefixtures("lines")
def test_warnings_are_escaped():
    assert warnings.formatwarning(UserWarning(HOSTILE), UserWarning, "a.py", 3) == f"UserWarning: {SHOWN}\n"


@pytest.mark.usefixtures("lines")
def test_formatters_with_a_form_of_their_own_stay():
    class Own(logging.Formatter):
        pass

    own, bare = logging.StreamHandler(io.StringIO()), logging.StreamHandler(io.StringIO())
    own.setFormatter(Own())
    logging.getLogger().handlers[:] = [own, bare]
    escape_logs()
    assert type(own.formatter) is Own
    assert type(bare.formatter) is LineFormatter


def test_lines_keep_their_places():
    assert set_in("a\n b\x1b") == "  a\n   b\\x1b"
