"""Memory is used again, but never while something looks into it."""

import threading
import tracemalloc

import numpy as np
import pytest

from nilatron.pipelines.wire.lines.memory import SPARE_BYTES, SlabMemory

MARGIN_BYTES = 1 << 16  # of what else is allocated meanwhile


def address(array):
    return array.__array_interface__["data"][0]


def test_what_has_no_use_is_used_again():
    memory = SlabMemory()
    first = memory.take(1 << 16)
    place = address(first)
    first[:] = 7
    assert first.size == 1 << 16
    assert first.flags.writeable
    del first
    assert address(memory.take(1 << 16)) == place


def test_every_kind_of_view_holds_its_block():
    memory = SlabMemory()
    views = [
        lambda array: array[100:200],
        lambda array: array.view(np.complex64).reshape(2, -1)[1].real,
        lambda array: array.data[5:],
        lambda array: np.asarray(memoryview(array[3:])),
        lambda array: np.frombuffer(array[64:128], np.float32),
    ]
    held = []
    for look in views:
        array = memory.take(1 << 12)
        held.append((look(array), address(array)))
        del array
        assert address(memory.take(1 << 12)) not in [place for _, place in held]
    free_again = {place for _, place in held}
    del held
    assert {address(array) for array in [memory.take(1 << 12) for _ in range(6)]} >= free_again


@pytest.fixture
def held_bytes():
    """How many bytes have been allocated since and not given back."""
    tracemalloc.start()
    yield lambda: tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()


def test_what_is_kept_without_use_is_bounded(held_bytes):
    memory = SlabMemory()
    n_bytes = SPARE_BYTES // 4
    arrays = [memory.take(n_bytes) for _ in range(6)]
    assert held_bytes() > 6 * n_bytes
    del arrays
    assert SPARE_BYTES <= held_bytes() < SPARE_BYTES + MARGIN_BYTES
    memory.take(n_bytes // 2)
    assert n_bytes // 2 <= held_bytes() < n_bytes // 2 + MARGIN_BYTES


def test_blocks_of_a_former_size_do_not_come_back(held_bytes):
    memory = SlabMemory()
    former = memory.take(1 << 20)
    memory.take(1 << 21)
    del former
    assert 1 << 21 <= held_bytes() < (1 << 21) + MARGIN_BYTES


def test_another_thread_may_let_go():
    memory = SlabMemory()
    held = [memory.take(1 << 12)]
    place = address(held[0])
    thread = threading.Thread(target=held.clear)
    thread.start()
    thread.join(10)
    assert address(memory.take(1 << 12)) == place
