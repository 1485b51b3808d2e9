import json
import logging
import sys

import pytest

from nilatron.pipelines.server import logs


@pytest.fixture(autouse=True)
def restored():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    gadgets = logging.getLogger("nilatron.gadgets")
    gadgets_level = gadgets.level
    yield
    root.handlers[:], root.level = handlers, level
    gadgets.setLevel(gadgets_level)


def test_json_lines_name_measurement_and_fields(capsys):
    logs.configure("session", as_json=True, verbose=False)
    logs.add_fields(measurement="1_2_3")
    try:
        raise ValueError("two\nlines")
    except ValueError:
        logging.getLogger("nilatron.x").exception("it %s", "failed", extra={"fields": {"slices": 3}})
    (line,) = capsys.readouterr().err.splitlines()
    entry = json.loads(line)
    assert (entry["part"], entry["measurement"], entry["slices"]) == ("session", "1_2_3", 3)
    assert (entry["level"], entry["message"]) == ("error", "it failed")
    assert "two\nlines" in entry["exception"]
    assert entry["time"].endswith("+00:00")


def test_lines_for_a_terminal(capsys):
    logs.configure("front", as_json=False, verbose=True)
    logging.getLogger("nilatron.gadgets.x").info("listening", extra={"fields": {"port": 9002}})
    line = capsys.readouterr().err
    assert "[front] listening port=9002" in line
    assert sys.stderr


def test_a_flood_of_lines_is_cut_and_counted():
    flood = logs.Flood(3)

    def record(seconds, level=logging.INFO):
        made = logging.LogRecord("name", level, "path", 1, "a %s", ("line",), None)
        made.created = seconds
        return made

    assert [flood.filter(record(seconds)) for seconds in (0, 1, 2, 3, 4, 59)] == [True] * 3 + [False] * 3
    assert flood.filter(record(59, logging.ERROR))
    later = record(60)
    assert flood.filter(later)
    assert later.getMessage() == "a line (3 lines before it were left out)"
    assert [flood.filter(record(61)) for _ in range(3)] == [True, True, False]


HOSTILE = "\x1b[2J\u202ex\nforged"


@pytest.mark.parametrize("as_json", [False, True])
def test_nothing_from_outside_is_in_a_line_as_it_came(capsys, as_json):
    logs.configure("session", as_json=as_json, verbose=False)
    logs.add_fields(measurement=HOSTILE)
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        logging.getLogger("nilatron.x").exception("no %s", HOSTILE, extra={"fields": {"config": HOSTILE}})
    text = capsys.readouterr().err
    assert not {"\x1b", "\u202e"} & set(text)
    assert not [line for line in text.splitlines() if line.startswith("forged")]
    if as_json:
        entry = json.loads(text)
        assert not {"\x1b", "\u202e"} & set("".join(map(str, entry.values())))
        assert entry["config"] == r"\x1b[2J\u202ex\nforged"


def test_a_long_line_is_cut(capsys):
    logs.configure("session", as_json=True, verbose=False)
    logging.getLogger("nilatron.x").warning("%s", "a" * 10**6)
    assert len(capsys.readouterr().err) < 10**4
