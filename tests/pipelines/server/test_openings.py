import socket
from dataclasses import dataclass

import pytest

from nilatron.pipelines.server import openings
from nilatron.pipelines.server.openings import Openings, Silent, longest, place_for


@dataclass
class Guest:
    address: str
    since_s: float


@pytest.fixture
def silent():
    """Make a silent connection of an address; both ends are closed after the test."""
    socks = []

    def make(address, since_s=0.0):
        ours, theirs = socket.socketpair()
        socks.extend((ours, theirs))
        guest = Silent(ours, address, since_s)
        return guest, theirs

    yield make
    for sock in socks:
        sock.close()


def test_one_address_cannot_keep_others_out(silent, monkeypatch):
    monkeypatch.setattr(openings, "MAX_SILENT", 4)
    monkeypatch.setattr(openings, "MAX_SILENT_OF_ONE", 3)
    here = Openings()
    hostile = [silent("evil", number)[0] for number in range(5)]
    friends = [silent(f"friend {number}", number)[0] for number in range(3)]
    gone = [here.add(guest) for guest in hostile]
    assert gone == [None, None, None, hostile[0], hostile[1]]
    assert [here.add(guest) for guest in friends] == [None, hostile[2], hostile[3]]
    assert list(here.silent.values()) == [hostile[4], *friends]


@pytest.mark.parametrize(("said", "left"), [(b"", True), (b"x" * 25, True), (b"x" * 26, False)])
def test_who_has_said_too_little_to_ask_for_anything_and_ends(silent, said, left):
    guest, peer = silent("friend")
    assert not guest.hung_up
    peer.sendall(said)
    assert not guest.hung_up
    peer.shutdown(socket.SHUT_WR)
    assert guest.hung_up == left
    assert guest.sock.recv(100) == said


def test_the_oldest_silence_ends_first(silent):
    here = Openings()
    for since_s in (0.0, float("inf")):
        here.add(silent("friend", since_s)[0])
    assert [guest.since_s for guest in here.older_than(1.0)] == [0.0]


def test_places_are_given_until_there_are_none_and_then_those_that_dawdle_go(monkeypatch):
    monkeypatch.setattr(openings, "MAX_BEGUN", 3)
    monkeypatch.setattr(openings, "MAX_BEGUN_OF_ONE", 2)
    now = float("inf")
    old, older, fresh = Guest("evil", 2.0), Guest("evil", 1.0), Guest("evil", now)
    assert place_for("evil", [old]) == (True, None)
    assert place_for("evil", [old, older]) == (True, older)
    assert place_for("friend", [old, older]) == (True, None)
    assert place_for("friend", [old, older, Guest("friend", 0.0)]) == (True, older)
    assert place_for("evil", [fresh, Guest("evil", now)]) == (False, None)
    assert place_for("friend", [fresh, Guest("evil", now), Guest("other", 0.0)]) == (False, None)


def test_the_longest_is_of_the_address_that_has_most():
    assert longest([Guest("a", 0.0), Guest("b", 5.0), Guest("b", 3.0)]).since_s == 3.0
    assert longest([Guest("a", 7.0), Guest("b", 5.0)]).since_s == 5.0
