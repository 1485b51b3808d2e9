"""Several slices at once: time a slice, and what does not fit."""

import pytest

from gpu import batches
from gpu.batches import TITLE, measure
from gpu.timing import Times


@pytest.fixture(autouse=True)
def times_without_a_clock(monkeypatch):
    def times(_, call):
        return Times((0.1 * len(call()),) * 3)

    monkeypatch.setattr(batches.Stopwatch, "times", times)


@pytest.mark.slow
def test_milliseconds_are_those_of_a_slice(found, small):
    measure(found, "cpu", small)
    rows = found.tables[TITLE]
    assert [row["slices"] for row in rows] == [1, 2]
    assert [row["ms a slice"] for row in rows] == [pytest.approx(100)] * 2


def test_a_batch_that_does_not_fit_is_told_and_the_others_are_made(found, small, monkeypatch):
    def run(problems, _):
        if len(problems) == 1:
            raise RuntimeError("CUDA out of memory")
        return problems

    monkeypatch.setattr(batches, "run_nila_batch", run)
    measure(found, "cpu", small)
    assert [row["slices"] for row in found.tables[TITLE]] == [2]
    (bar,) = found.bars
    assert (bar.what, bar.passed) == ("1 slices at once: RuntimeError: CUDA out of memory", False)
