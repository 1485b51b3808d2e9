from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from nilatron.pipelines.server.admission import (
    BASE_BYTES,
    DEFAULT_CHANNELS,
    MAX_IMAGES,
    MIB,
    Admission,
    Holding,
    announced_images,
    bytes_that_wait,
    channels_of,
    estimate_bytes,
    free_bytes,
)
from nilatron.pipelines.simulation.simulate import SimulationSettings, simulate_items

SMALL = SimulationSettings(matrix=(32, 32, 1), n_coils=4)


def estimate(**changes):
    return estimate_bytes(simulate_items(replace(SMALL, **changes))[0], 1 << 40)


def test_the_estimate_grows_with_everything_that_needs_memory():
    base = estimate()
    assert base > BASE_BYTES
    for change in (
        {"matrix": (64, 32, 1)},
        {"n_coils": 8},
        {"n_slices": 5},
        {"matrix": (32, 32, 4)},
        {"n_repetitions": 3},
    ):
        assert estimate(**change) > base


@pytest.mark.slow
def test_it_is_at_least_what_the_data_need():
    n_slices, n_coils = 20, 16
    data_bytes = n_slices * n_coils * 64 * 64 * 8
    assert estimate(matrix=(64, 64, 1), n_coils=n_coils, n_slices=n_slices) > BASE_BYTES + data_bytes


def test_refusals_name_the_numbers():
    admission = Admission(100 * MIB)
    assert admission.admit(1, Holding("here", 60 * MIB)) is None
    assert "60 MiB" in admission.admit(2, Holding("here", 60 * MIB))
    assert "40 MiB are free beside 1 other" in admission.admit(2, Holding("here", 60 * MIB))
    assert "100 MiB for all" in admission.admit(3, Holding("here", 101 * MIB))
    admission.release(1)
    assert admission.used_bytes == 0
    assert admission.admit(2, Holding("here", 60 * MIB)) is None


def test_free_memory_is_less_than_all_memory():
    import os

    assert 0 < free_bytes() < os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("scan", [1, 99])
def test_releasing_twice_is_nothing(scan):
    admission = Admission(MIB)
    admission.release(scan)
    assert admission.used_bytes == 0


def test_the_header_announces_images():
    header, _ = simulate_items(replace(SMALL, n_slices=3, n_repetitions=2, n_averages=4))
    assert announced_images(header, 2) == 3 * 2 * 2
    assert announced_images(SimpleNamespace(encoding=[]), 2) == 0


@pytest.mark.parametrize("stated", [-1000, 0, None, 1025, 10**30])
def test_channels_that_cannot_be_are_a_usual_number(stated):
    header, _ = simulate_items(SMALL)
    header.acquisitionSystemInformation.receiverChannels = stated
    assert channels_of(header) == DEFAULT_CHANNELS
    assert estimate_bytes(header, MIB) > BASE_BYTES


def test_a_header_cannot_promise_images_without_number():
    header, _ = simulate_items(SMALL)
    for name in ("slice", "contrast", "phase", "repetition", "set"):
        limit = SimpleNamespace(minimum=0, maximum=65535)
        setattr(header.encoding[0].encodingLimits, name, limit)
    assert announced_images(header, 2) == MAX_IMAGES
    assert bytes_that_wait(header, 5 * MIB) == 5 * MIB


def test_more_than_the_header_said_is_half_of_what_is_free_at_most():
    admission = Admission(100 * MIB)
    assert admission.admit(1, Holding("here", 20 * MIB)) is None
    assert admission.admit(2, Holding("here", 20 * MIB)) is None
    assert admission.admit(1, Holding("here", 50 * MIB), more=True) is None
    assert admission.used_bytes == 70 * MIB
    refused = admission.admit(1, Holding("here", 66 * MIB), more=True)
    assert "66 MiB, of which 50 MiB were set aside" in refused
    assert admission.used_bytes == 70 * MIB


def let_in(limit_mib, *asked):
    """An admission with scans of these addresses and sizes in MiB, numbered from 1."""
    admission = Admission(limit_mib * MIB)
    for number, (address, size_mib) in enumerate(asked, 1):
        assert admission.admit(number, Holding(address, size_mib * MIB)) is None
    return admission


def test_half_of_the_memory_is_an_addresss_own_or_one_large_scan():
    admission = let_in(100, ("a", 30), ("a", 20), ("a", 10), ("b", 40))
    assert admission.lent(admission.admitted) == [3]
    assert let_in(100, ("a", 87)).lent({1: Holding("a", 87 * MIB)}) == []
    assert let_in(100, ("a", 88)).lent({1: Holding("a", 88 * MIB)}) == [1]
    many = let_in(100, *[("a", 20)] * 5)
    assert many.lent(many.admitted) == [5, 4, 3]


def test_a_scan_of_another_address_reclaims_the_latest_loans_and_no_more():
    admission = let_in(100, *[("a", 20)] * 5)
    assert admission.to_reclaim({6: Holding("b", 20 * MIB)}) == [5]
    assert admission.to_reclaim({6: Holding("b", 30 * MIB)}) == [4, 5]
    assert admission.to_reclaim({6: Holding("b", 20 * MIB), 7: Holding("b", 20 * MIB)}) == [4, 5]
    assert admission.to_reclaim({6: Holding("b", 61 * MIB)}) == []  # in vain: two scans stay whatever comes


def test_nobody_reclaims_what_would_be_a_loan_again():
    admission = let_in(100, *[("a", 20)] * 5)
    assert admission.to_reclaim({6: Holding("a", 20 * MIB)}) == []
    shared = let_in(100, *[("a", 20)] * 3, ("b", 40))
    assert shared.to_reclaim({5: Holding("b", 20 * MIB)}) == []
    assert shared.to_reclaim({5: Holding("c", 20 * MIB)}) == [3]


@pytest.mark.parametrize("seed", range(20))
def test_whatever_one_address_holds_a_small_scan_of_another_finds_room(seed):
    rng = np.random.default_rng(seed)
    admission = Admission(1000 * MIB)
    for number in range(50):
        admission.admit(number, Holding("greedy", int(rng.integers(1, 1000)) * MIB))
        admission.admit(int(rng.integers(50)), Holding("greedy", int(rng.integers(1, 1000)) * MIB), more=True)
    assert admission.used_bytes <= admission.limit_bytes
    newcomer = {99: Holding("good", 125 * MIB)}
    for lent in admission.to_reclaim(newcomer):
        admission.release(lent)
    assert admission.room_bytes({}) >= 125 * MIB
    assert admission.admit(99, newcomer[99]) is None
