"""Tables of a slice's times on the CPU; bars only where they are to be judged."""

from dataclasses import replace

import pytest

from gpu import speed
from gpu.place import NUMPY
from gpu.speed import IMAGE_MS, SAMPLES_MS, measure
from gpu.timing import Times


@pytest.fixture
def quick(monkeypatch):
    """Every call is made once and takes as long as it is told."""
    taken = {"s": 0.01}

    def times(_, call):
        call()
        return Times((taken["s"], 2 * taken["s"], taken["s"]))

    monkeypatch.setattr(speed.Stopwatch, "times", times)
    return taken


@pytest.mark.usefixtures("quick")
def test_stages_and_the_whole(found, small):
    measure(found, "cpu", small)
    stages = [row["stage"] for row in found.tables["Stages of the Nila image"] if row["arrays"] == "NumPy"]
    assert [name.split(" to ")[0] for name in stages] == [
        "upload",
        "whitening",
        "compression",
        "maps",
        "CG-SENSE",
        "sampler",
        "download",
    ]
    whole = found.tables["A slice from host to host"]
    assert [(row["image"], row["arrays"]) for row in whole] == [
        ("Nila image", "NumPy"),
        ("with 2 posterior samples", "NumPy"),
        ("Nila image", "torch, CPU"),
        ("with 2 posterior samples", "torch, CPU"),
    ]
    assert {(row["median / ms"], row["worst / ms"]) for row in whole} == {(10.0, 20.0)}
    assert len(found.tables["A slice through the gadgets"]) == 2
    assert found.bars == []


def judged(found, small, monkeypatch):
    monkeypatch.setattr(speed, "stages", lambda *_: None)
    monkeypatch.setattr(speed, "through_gadgets", lambda *_: None)
    monkeypatch.setattr(speed, "places", lambda _: ([NUMPY], {}))
    monkeypatch.setattr(speed.Chain, "run", lambda _: {})
    measure(found, "cpu", replace(small, judged=True))
    return [(bar.limit, bar.passed) for bar in found.bars]


@pytest.mark.parametrize(("seconds", "passed"), [(0.04, [True, True]), (0.1, [False, True]), (0.2, [False, False])])
def test_the_median_is_judged(found, small, monkeypatch, quick, seconds, passed):
    quick["s"] = seconds
    assert judged(found, small, monkeypatch) == list(zip((IMAGE_MS, SAMPLES_MS), passed, strict=True))


@pytest.mark.usefixtures("quick")
def test_a_place_that_fails_is_a_missed_bar_and_the_others_are_timed(found, small, monkeypatch):
    def put(_):
        raise RuntimeError("libcufft.so.12 is missing")

    broken = replace(NUMPY, name="CuPy", put=put)
    monkeypatch.setattr(speed, "places", lambda _: ([broken, NUMPY], {"torch": "absent"}))
    measure(found, "cpu", small)
    assert [bar.passed for bar in found.bars] == [False, False]
    assert "CuPy: RuntimeError: libcufft.so.12 is missing" in found.bars[0].what
    assert {row["arrays"] for row in found.tables["A slice from host to host"]} == {"NumPy"}
    assert found.absent == {"torch": "absent"}


@pytest.mark.usefixtures("quick")
def test_gadgets_that_leave_the_device_miss_a_bar(found, small, monkeypatch):
    def chain(*_):
        def call():
            raise speed.FAILURES[0]("main image on cpu")

        return call

    monkeypatch.setattr(speed, "gadget_chain", chain)
    speed.through_gadgets(found, speed.Stopwatch(lambda: None, small), "cpu", small)
    assert [bar.passed for bar in found.bars] == [False, False]
    assert "main image on cpu" in found.bars[0].what
