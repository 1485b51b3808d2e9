import pytest

from nilatron.gadgets.items import ScanError
from nilatron.pipelines.server import allowance as module
from nilatron.pipelines.server.admission import MIB, estimate_bytes
from nilatron.pipelines.server.allowance import MAX_QUEUE_BYTES, MIN_QUEUE_BYTES, Allowance, out_of_memory
from nilatron.pipelines.simulation.simulate import SimulationSettings, simulate_items


@pytest.fixture
def asked(monkeypatch):
    """An allowance for a small scan, what the front was asked, and what the system was told; the front says `answer`."""
    limits = []
    monkeypatch.setattr(module, "limit_growth", lambda *numbers: limits.append(numbers))
    header, _ = simulate_items(SimulationSettings(matrix=(32, 32, 1), n_coils=4))

    def make(answer=None):
        events = []

        def ask(event):
            events.append(event)
            return {"refused": answer, "worker": "here"}

        return Allowance.of(header, ask, 7 * MIB), events, limits, header

    return make


def test_the_front_is_asked_for_what_the_header_says_and_the_system_enforces_it(asked):
    allowance, events, limits, header = asked()
    assert allowance.ask_first(3) == {"refused": None, "worker": "here"}
    n_bytes = estimate_bytes(header, MAX_QUEUE_BYTES)
    assert events == [{"event": "admit", "bytes": n_bytes, "expected": 3}]
    assert limits == [(7 * MIB, n_bytes)]
    assert allowance.message_bytes == n_bytes
    assert allowance.queue_bytes == MIN_QUEUE_BYTES


def test_more_is_had_or_the_scan_ends(asked):
    allowance, events, limits, _ = asked()
    allowance.extend(900 * MIB)
    assert events == [{"event": "admit", "bytes": 900 * MIB, "more": True}]
    assert limits == [(7 * MIB, 900 * MIB)]
    assert allowance.n_bytes == 900 * MIB
    refused, _, limits, _ = asked("not so many")
    limits.clear()
    with pytest.raises(ScanError, match="not so many"):
        refused.extend(900 * MIB)
    assert refused.ask_first(3)["refused"] == "not so many"
    assert limits == []


def test_without_memory_there_is_enough_to_say_so(asked):
    _, _, limits, _ = asked()
    error = out_of_memory(MemoryError("8 GiB"))
    assert "more memory than was set aside" in str(error)
    assert "8 GiB" in str(error)
    assert len(limits) == 1
