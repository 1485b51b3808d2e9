from types import SimpleNamespace

import pytest

from nilatron.pipelines.server.caller import SharedState
from nilatron.pipelines.server.places import MAX_TOLD, Places
from nilatron.pipelines.server.scans import Scan
from nilatron.pipelines.server.settings import ServeSettings


@pytest.fixture
def killed():
    return []


@pytest.fixture
def scan_of(killed):
    def make(number, address="here", **state):
        process = SimpleNamespace(kill=lambda: killed.append(number))
        child = SimpleNamespace(process=process)
        return Scan(number, None, address, SharedState(bytearray(6)), child, **{"opened": True} | state)

    return make


def places(scans, **settings):
    return Places({scan.number: scan for scan in scans}, ServeSettings(**settings))


def test_scans_that_open_are_refused_or_have_ended_have_no_place(scan_of):
    scans = [scan_of(1), scan_of(2, opened=False), scan_of(3, refused=True), scan_of(4, done={"outcome": "complete"})]
    here = places(scans)
    assert here.n_running == 1
    assert here.begun == [scans[1]]


def test_there_are_so_many_and_a_refused_scan_has_none(scan_of):
    scans = [scan_of(1), scan_of(2), scan_of(3)]
    here = places(scans, max_scans=2)
    assert "2 scans are running" in here.refusal(scans[2])
    assert here.n_running == 2
    here.leave(scans[0])
    scans[2].refused = False
    assert here.refusal(scans[2]) is None


def test_an_address_may_have_fewer(scan_of):
    scans = [scan_of(1, "evil"), scan_of(2, "friend"), scan_of(3, "evil")]
    assert places(scans).refusal(scans[2]) is None
    assert "1 scans of evil are running" in places(scans, max_scans_per_peer=1).refusal(scans[2])


def test_few_stay_to_be_told_and_the_first_one_goes(scan_of, killed):
    scans = [scan_of(number) for number in range(MAX_TOLD + 2)]
    here = places(scans)
    for scan in scans:
        here.leave(scan)
    assert killed == [0, 1]
