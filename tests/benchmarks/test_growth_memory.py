"""What a slice adds to peaks that are known."""

import pytest

from growth_memory import LEAK, lines_mib, memory_rows
from growth_times import BASE


def test_the_lines_of_a_slice():
    assert lines_mib(BASE) * 2**20 == pytest.approx(8 * 8 * 256 * 128 / 3)


def test_only_the_two_largest_scans_count():
    allowed = LEAK * lines_mib(BASE)
    flat = {10: [100.0, 300.0, 101.0], 40: [150.0], 160: [150 + 0.5 * allowed * 120]}
    leaking = {10: [150.0], 40: [150.0], 160: [150 + 1.5 * allowed * 120]}
    calm, grown = memory_rows({"cg_sense": flat, "nila": leaking})
    assert (calm["too fast"], grown["too fast"]) == ("", "yes")
    assert calm["widest range"] == 200
    assert calm["peak in MiB, by slices"].startswith("10: 101, 40: 150")
