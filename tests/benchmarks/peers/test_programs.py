"""Memory of programs, and images over a socket: what the adapters measure without their peers."""

import sys

import pytest

from bart import Bart
from peers import gadgetron_io
from peers.bart_programs import child_peak
from peers.figure import LOWEST_DB, points


@pytest.mark.slow
def test_memory_of_a_program_does_not_begin_with_ours(tmp_path):
    ballast = bytearray(b"x") * (200 << 20)
    peak = child_peak(Bart(sys.executable, tmp_path), "-I", "-S", "-c", "x = bytearray(b'x') * (40 << 20)")
    assert 40e6 < peak < 0.6 * len(ballast)


@pytest.mark.parametrize("writer", ["ours", "PyPI"])
def test_all_bytes_of_the_images_arrive(monkeypatch, writer):
    monkeypatch.setattr(gadgetron_io, "N_IMAGES", 3)
    assert gadgetron_io.write_turn(writer) > 0


def test_a_very_bad_image_stands_at_the_border_of_the_panel():
    found = points(
        {"nila": {"seconds": 1, "psnr_db": 30.0}, "dps": {"seconds": 9, "psnr_db": 5.0}, "dds": {"missing": ""}}
    )
    assert found == {"nila": (1.0, 30.0), "dps": (9.0, 30.0 - LOWEST_DB)}
