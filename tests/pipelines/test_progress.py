import logging

import pytest
from rich.console import Console

from nilatron.pipelines.progress import LOG_EVERY_S, Bar, duration


class Clock:
    now_s = 100.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


def run(bar, clock, steps, seconds_each, **words):
    for step in range(steps + 1):
        bar.update(step, 60, "steps", **words)
        clock.now_s += seconds_each


def test_without_a_terminal_the_log_tells_rate_and_time_left(clock, caplog):
    with caplog.at_level(logging.INFO), Bar(Console(force_terminal=False), clock) as bar:
        run(bar, clock, 12, 2.0, words="slice 3 of 10")
    assert [record.message for record in caplog.records] == [
        "slice 3 of 10, 5 of 60 steps, 2 s each, 1 min 50 s left",
        "slice 3 of 10, 10 of 60 steps, 2 s each, 1 min 40 s left",
    ]


def test_what_an_earlier_run_has_left_does_not_shorten_the_time_left(clock, caplog):
    with caplog.at_level(logging.INFO), Bar(Console(force_terminal=False), clock) as bar:
        bar.update(0, 60, "files")
        bar.update(40, 60, "files", found=40)
        clock.now_s += 10.0
        bar.update(45, 60, "files", found=40)
    assert [record.message for record in caplog.records] == ["45 of 60 files, 2 s each, 30 s left"]


def test_short_work_is_not_told(clock, caplog):
    with caplog.at_level(logging.INFO), Bar(Console(force_terminal=False), clock) as bar:
        run(bar, clock, 20, LOG_EVERY_S / 25)
    assert not caplog.records


def test_lines_are_in_the_log_though_others_of_their_level_are_not(clock, caplog):
    caplog.set_level(logging.WARNING)
    caplog.handler.setLevel(logging.NOTSET)
    with Bar(Console(force_terminal=False), clock) as bar:
        run(bar, clock, 2, LOG_EVERY_S)
    assert "of 60 steps" in caplog.text


def test_a_terminal_gets_a_bar_with_the_same_words(clock):
    console = Console(force_terminal=True, width=120)
    with console.capture() as captured, Bar(console, clock) as bar:
        run(bar, clock, 12, 0.25)
    assert "12 of 60 steps, 4 steps/s, 12 s left" in captured.get()


def test_work_without_steps_is_told_as_well(clock, caplog):
    with caplog.at_level(logging.INFO), Bar(Console(force_terminal=False), clock) as bar:
        bar.tell_of_silence()
        bar.update(0, 0, "files", "exporting")
        for _ in range(2):
            clock.now_s += 0.6 * LOG_EVERY_S
            bar.tell_of_silence()
    assert [record.message for record in caplog.records] == ["exporting, for 12 s"]


def test_another_unit_begins_anew(clock, caplog):
    with caplog.at_level(logging.INFO), Bar(Console(force_terminal=False), clock) as bar:
        bar.update(0, 5, "lines")
        clock.now_s += 1000
        bar.update(0, 60, "steps")
        clock.now_s += 10
        bar.update(5, 60, "steps")
    assert caplog.records[-1].message == "5 of 60 steps, 2 s each, 1 min 50 s left"


def test_nobody_looks(clock):
    with Bar(None, clock) as bar:
        run(bar, clock, 3, 100.0)


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "0 s"), (59.6, "1 min 0 s"), (125, "2 min 5 s"), (3 * 3600 + 61, "3 h 1 min")]
)
def test_times_in_words(seconds, words):
    assert duration(seconds) == words
