import pytest

from nilatron.pipelines.server.admission import MIB, Admission, Holding
from nilatron.pipelines.server.memory_desk import GRACE_S, WAIT_S, MemoryDesk


class Counter:
    """A desk of 1000 MiB with a clock that is set by hand, and what it has answered."""

    def __init__(self):
        self.now, self.answers = 0.0, {}
        self.desk = MemoryDesk(Admission(1000 * MIB), self.answers.__setitem__, lambda: self.now)
        self.leave, self.to_reclaim = self.desk.leave, self.desk.to_reclaim

    def ask(self, scan, address, size_mib, **options):
        self.desk.ask(scan, Holding(address, size_mib * MIB), **options)
        return self.answers.get(scan, "waits")

    def later(self, seconds):
        self.now += seconds
        self.desk.let_in()


@pytest.fixture
def counter():
    return Counter()


def test_one_address_alone_may_have_everything(counter):
    assert [counter.ask(scan, "a", 330) for scan in (1, 2, 3)] == [None] * 3
    assert counter.to_reclaim() == []


def test_what_is_too_large_or_asked_for_beyond_a_header_is_answered_at_once(counter):
    assert "for all scans" in counter.ask(1, "a", 1001)
    assert counter.ask(2, "a", 600) is None
    assert counter.ask(2, "a", 700, more=True) is None
    assert "more than its header says" in counter.ask(2, "a", 900, more=True)


def test_who_waits_is_let_in_when_memory_becomes_free(counter):
    counter.ask(1, "a", 700)
    assert counter.ask(2, "b", 400) == "waits"
    counter.leave(1)
    assert counter.answers[2] is None
    assert not counter.desk.waiting


def test_who_waits_in_vain_is_refused_and_asks_nothing_of_others(counter):
    counter.ask(1, "a", 700)
    counter.ask(2, "b", 400)
    counter.later(WAIT_S - 0.1)
    assert 2 not in counter.answers
    assert counter.to_reclaim() == []
    counter.later(0.2)
    assert "300 MiB are free beside 1 other" in counter.answers[2]


def test_loans_are_given_back_after_a_moment(counter):
    for scan in (1, 2, 3, 4):
        counter.ask(scan, "a", 250)
    assert counter.ask(5, "b", 150) == "waits"
    assert counter.to_reclaim() == []
    counter.later(GRACE_S)
    assert counter.to_reclaim() == [4]
    counter.leave(4)
    assert counter.answers[5] is None
    assert counter.to_reclaim() == []


def test_nothing_is_lent_while_another_waits_for_what_is_its_own(counter):
    for scan in (1, 2, 3):
        counter.ask(scan, "a", 300)
    assert counter.ask(4, "b", 400) == "waits"
    assert counter.ask(5, "a", 50) == "waits"
    assert counter.ask(6, "b", 90) is None  # its own
    counter.leave(3)
    assert counter.answers.get(4, "waits") == "waits"
    counter.leave(2)
    assert counter.answers[4] is None
    assert counter.answers[5] is None


def test_a_scan_that_leaves_waits_no_more(counter):
    counter.ask(1, "a", 900)
    counter.ask(2, "b", 400)
    counter.leave(2)
    counter.leave(1)
    assert 2 not in counter.answers
    assert counter.desk.admission.used_bytes == 0


def test_it_is_full_when_a_new_address_would_find_no_room(counter):
    for scan in (1, 2, 3, 4):
        counter.ask(scan, "a", 250)
    assert not counter.desk.is_full  # half of it is on loan
    counter.ask(5, "b", 400)
    assert counter.desk.is_full  # which b waits for
    for scan in (1, 2, 3):
        counter.leave(scan)
    assert not counter.desk.is_full
